"""Two groups side by side: the table's own numbers, families, ties, gaps, and many data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from support.tables import (
    ACCURACY,
    ExactScoring,
    Hits,
    by_id,
    cell,
    classes,
    ended,
    plan,
    record,
    results,
)

from sftbench.errors import RequestError
from sftbench.plan import Plan, Skip
from sftbench.records import MetricSpec, Record
from sftbench.report.aggregate import aggregate
from sftbench.verdicts.across import interquartile_mean
from sftbench.verdicts.contrast import SectionContrast
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.datasets import Contrast, contrast_pairs
from sftbench.verdicts.sections import find_sections
from sftbench.verdicts.selection import Wanted, find_pairs
from sftbench.verdicts.statistics import holm, sign_flip_p

SCORING = ExactScoring(num_examples=100)
# Data sets are compared by the records alone.
WITHOUT = ExactScoring(num_examples=100, without=("full", "head-only", "lp-ft", "scratch"))
VALUES = {
    "head-only": [0.50, 0.51, 0.49, 0.52, 0.50, 0.48, 0.51],
    "full": [0.62, 0.60, 0.64, 0.61, 0.66, 0.60, 0.63],
    "lp-ft": [0.60, 0.62, 0.60, 0.59, 0.66, 0.58, 0.60],
    "scratch": [0.30, 0.35, 0.28, 0.31, 0.33, 0.30, 0.29],
}
NLL = MetricSpec(name="nll", direction="min", range=(0.0, None))


def compare(
    a: str,
    b: str,
    records: Mapping[str, Record],
    plans: Sequence[Plan] | None = None,
    outcomes: Hits | None = None,
    scoring: ExactScoring = SCORING,
    metric: str | None = None,
    **wanted: str,
) -> Contrast:
    sections = find_sections(plans or [plan(VALUES)], records)
    pairs, _ = find_pairs(sections, a, b, Wanted(**wanted))
    return contrast_pairs(
        (a, b), pairs, metric, scoring=scoring, outcomes=outcomes or Hits(),
        criteria=Criteria(), num_examples=5,
    )  # fmt: skip


def one(a: str, b: str, records: Mapping[str, Record], **options: Any) -> SectionContrast:
    [section] = compare(a, b, records, **options).sections
    return section


@pytest.mark.parametrize("pair", [("full", "head-only"), ("scratch", "head-only")])
def test_what_the_plan_compares_has_the_tables_numbers_to_the_last_digit(
    pair: tuple[str, str],
) -> None:
    records = results(VALUES)
    [section] = aggregate([plan(VALUES)], records, SCORING).sections
    row = {row.label: row for row in section.rows}[pair[0]]
    found = one(*pair, records)
    assert found.comparison == row.comparison
    assert found.a.verdict == row.verdict
    assert found.a.mean == row.mean
    assert found.outcome == {"success": "better", "failure": "worse"}[row.verdict.kind]
    assert found.family == "every comparison with head-only"


def test_a_comparison_with_the_reference_is_of_its_family() -> None:
    records = results(VALUES)
    [section] = aggregate([plan(VALUES)], records, SCORING).sections
    row = {row.label: row for row in section.rows}["full"]
    found = one("full", "scratch", records)
    assert found.comparison == row.transfer
    assert found.family == "every comparison with scratch"


def test_any_other_pair_is_one_of_all_pairs() -> None:
    found = one("full", "lp-ft", results(VALUES))
    raw = [sign_flip_p(np.subtract(VALUES[a], VALUES[b])) for a, b in combinations(VALUES, 2)]
    place = list(combinations(VALUES, 2)).index(("full", "lp-ft"))
    assert found.comparison.p == raw[place]
    assert found.comparison.p_adjusted == holm(raw)[place]
    assert (found.comparison.num_family, found.comparison.seeds_needed) == (6, 8)
    assert found.family == "every pair of groups of the section"
    assert (found.outcome, found.missing) == ("inconclusive", "needs 8 seeds")


@pytest.mark.parametrize("pair", [("full", "head-only"), ("full", "lp-ft"), ("full", "scratch")])
def test_the_order_of_names_turns_signs_and_nothing_else(pair: tuple[str, str]) -> None:
    records = results(VALUES)
    first, second = one(*pair, records), one(*reversed(pair), records)
    assert first.comparison.p_adjusted == second.comparison.p_adjusted
    assert first.comparison.estimate == -second.comparison.estimate
    assert first.comparison.gain == -second.comparison.gain
    assert first.comparison.interval.low == -second.comparison.interval.high
    assert first.improvement.wins == second.improvement.losses
    assert first.effect.hedges_g == pytest.approx(-second.effect.hedges_g)
    assert first.all_pairs == pytest.approx(1 - second.all_pairs)
    turned = {"better": "worse", "worse": "better", "inconclusive": "inconclusive"}
    assert second.outcome == turned[first.outcome]
    assert first.detectable == second.detectable


def test_ties_are_ties() -> None:
    values = VALUES | {"full": VALUES["head-only"]}
    found = one("full", "head-only", results(values))
    assert found.outcome == "tied"
    assert (found.improvement.wins, found.improvement.ties) == (0, 7)
    assert found.improvement.probability == 0.5
    assert (found.effect, found.detectable) == (None, None)
    assert found.details.examples == ()


def test_a_missing_seed_leaves_no_number_that_could_mislead() -> None:
    records = results(VALUES) | by_id([ended(cell("full", 3), "out_of_memory")])
    found = one("full", "head-only", records)
    assert (found.outcome, found.missing) == ("inconclusive", "full: 1 of 7 seeds failed")
    assert (found.a.mean, found.seed_interval, found.effect, found.improvement) == (None,) * 4
    assert (found.all_pairs, found.detectable, found.comparison.p) == (None,) * 3
    assert found.seeds == (0, 1, 2, 4, 5, 6)
    assert [model.seed for model in found.details.models] == [0, 1, 2, 4, 5, 6]
    turned = one("head-only", "full", records)
    assert (turned.missing, turned.comparison.p) == ("full: 1 of 7 seeds failed", None)


def test_too_few_seeds_say_how_many_are_needed() -> None:
    values = {name: some[:3] for name, some in VALUES.items()}
    found = one("full", "head-only", results(values), plans=[plan(VALUES, 3)])
    assert (found.outcome, found.missing) == ("inconclusive", "needs 7 seeds")
    assert found.detectable is None


def test_where_they_differ() -> None:
    hits = {"full": [70, 40], "head-only": [60, 45]}
    records = by_id(
        record(cell(name, seed), VALUES[name][seed], per_class=classes(hits.get(name, [9, 9])))
        for name in VALUES
        for seed in range(7)
    )
    details = one("full", "head-only", records).details
    assert [(c.label, round(c.difference, 3)) for c in details.classes] == [
        ("Shirt", 0.1), ("Boot", -0.05),
    ]  # fmt: skip
    assert details.class_seeds_needed == 7
    # Of seed 0: examples 50 to 61 are right in full alone.
    assert (details.models[0].only_a, details.models[0].only_b) == (12, 0)
    assert details.num_examples == 100
    first = details.examples[0]
    assert (first.index, first.right_a, first.right_b, first.label) == (52, 7, 0, "Shirt")
    assert (first.said_a, first.said_b) == (None, "Boot")


@pytest.mark.parametrize(
    ("outcomes", "remark"),
    [
        (Hits("full"), "no test examples: predictions of seed 0 are not kept, or not readable"),
        (Hits(gives=False), ("no test examples: task image-classification gives no example one "
                            "class")),
        (Hits(gives=None), "no test examples: task image-classification is not installed"),
    ],
)  # fmt: skip
def test_without_examples_the_rest_is_there(outcomes: Hits, remark: str) -> None:
    found = one("full", "head-only", results(VALUES), outcomes=outcomes)
    assert found.details.remarks == (remark,)
    assert (found.details.models, found.details.num_examples) == ((), None)
    assert found.outcome == "better"


def with_nll(values: Mapping[str, Sequence[float]], **changes: Any) -> dict[str, Record]:
    return by_id(
        record(
            cell(name, seed, **changes),
            value,
            metric_specs=(ACCURACY, NLL),
            metrics={"selected": {"test": {"accuracy": value, "nll": 1 - value}}},
        )
        for name, some in values.items()
        for seed, value in enumerate(some)
    )


def test_another_metric_has_its_own_numbers_and_no_verdict() -> None:
    found = one("full", "head-only", with_nll(VALUES), metric="nll")
    assert found.metric == NLL
    assert found.comparison.estimate < 0 < found.comparison.gain
    assert found.improvement.wins == 7
    assert found.effect.hedges_g > 0
    assert (found.comparison.interval, found.outcome) == (None, "inconclusive")
    assert found.missing == "a metric that is not the primary one has no population interval"
    # The verdict of the table is of the primary metric, as ever.
    assert found.a.verdict.kind == "success"
    with pytest.raises(
        RequestError, match=r"unknown metric 'nil'; did you mean 'nll'\? there are: "
    ):
        compare("full", "head-only", with_nll(VALUES), metric="nil")


def five(lacking: str = "") -> tuple[list[Plan], dict[str, Record]]:
    """Five data sets on which full is best, lp-ft and head-only take turns, scratch is last."""
    plans, records = [], {}
    for number in range(5):
        name = f"set{number}"
        turn = 0.1 if number % 2 else -0.1
        shift = {"full": 0.15, "lp-ft": turn, "head-only": 0.0, "scratch": -0.3}
        values = {label: [0.5 + shift[label] + 0.01 * seed for seed in range(7)] for label in shift}
        plans.append(Plan(cells=tuple(cell(x, s, dataset=name) for x in values for s in range(7))))
        records |= with_nll(values, dataset=name)
    if lacking:
        records.pop(cell(lacking, 6, dataset="set2").cell_id)
    return plans, records


def test_five_data_sets_are_ranked() -> None:
    plans, records = five()
    [across] = compare("full", "head-only", records, plans, scoring=WITHOUT).across
    assert across.labels == ("full", "lp-ft", "head-only", "scratch")
    assert across.ranking.mean_ranks == (1.0, 2.6, 2.4, 4.0)
    # Friedman by its definition: no tie occurs.
    ranks = np.array(across.ranking.mean_ranks)
    assert across.ranking.chi_square == pytest.approx(12 * 5 / 20 * (np.square(ranks).sum() - 25))
    full = [0.65 + 0.01 * seed for seed in range(7)] * 5
    assert across.interquartile[0].value == pytest.approx(float(interquartile_mean(full)))
    assert across.difference.value == pytest.approx(0.15)
    assert (across.improvement.value, across.signed_rank_p) == (1.0, 2 / 2**5)
    assert across.remarks == ()


def test_lower_is_better_turns_ranks_and_improvement() -> None:
    plans, records = five()
    [across] = compare("full", "head-only", records, plans, scoring=WITHOUT, metric="nll").across
    assert across.ranking.mean_ranks == (1.0, 2.6, 2.4, 4.0)
    assert across.difference.value == pytest.approx(-0.15)
    assert across.improvement.value == 1.0


def test_a_missing_seed_ranks_last_in_its_data_set() -> None:
    plans, records = five(lacking="full")
    [across] = compare("full", "head-only", records, plans, scoring=WITHOUT).across
    # Last of four where it lacks a seed, else the first.
    assert across.ranking.mean_ranks[0] == (4 * 1 + 4) / 5
    assert across.interquartile[0] is None
    assert across.interquartile[1] is not None
    assert (across.difference, across.improvement, across.signed_rank_p) == (None, None, None)
    assert across.remarks == ("a seed lacks: its group's mean is null and ranks last",)


def test_fewer_data_sets_are_not_ranked() -> None:
    plans, records = five()
    found = compare("full", "head-only", records, plans[:2], scoring=WITHOUT)
    assert found.across == ()
    assert found.remarks == (
        (
            "net · pretrained · balanced · default: 2 data sets; Friedman's test, the critical "
            "difference and the interquartile mean need 5"
        ),
    )


def test_sections_of_one_data_set_are_not_independent() -> None:
    plans, records = five()
    again = plans[0].cells[0].protocol.model_copy(update={"epochs": 9})
    other = Plan(cells=tuple(one.model_copy(update={"protocol": again}) for one in plans[0].cells))
    records |= with_nll({x: [0.5] * 7 for x in VALUES}, dataset="set0", protocol=again)
    found = compare("full", "head-only", records, [*plans, other], scoring=WITHOUT)
    assert (len(found.sections), found.across) == (6, ())
    assert "a data set has several sections, which are not independent" in found.remarks[0]


def test_nothing_has_run_yet() -> None:
    with pytest.raises(RequestError, match="no result yet of full and head-only in net · pret"):
        compare("full", "head-only", {})


# Which groups are meant.


def error_of(a: str, b: str, plans: Sequence[Plan] | None = None, **wanted: str) -> str:
    with pytest.raises(RequestError) as raised:
        compare(a, b, results(VALUES), plans, **wanted)
    return str(raised.value)


@pytest.mark.parametrize(
    ("names", "wanted", "message"),
    [
        (("ful", "scratch"), {}, ("unknown group 'ful'; did you mean 'full'? there are: full, "
         "head-only, lp-ft, scratch")),
        (("zzz", "full"), {}, "unknown group 'zzz'; there are: full, head-only, lp-ft, scratch"),
        (("full", "full"), {}, "'full' and 'full' are one group; name two"),
        (("full", "lp-ft"), {"dataset": "dat"}, ("unknown dataset 'dat'; did you mean 'data'? "
         "there are: data")),
        (("full", "lp-ft"), {"protocol": "artcle"}, ("unknown protocol 'artcle'; there are: "
         f"{cell('full', 0).section[-1]}, default")),
    ],
)  # fmt: skip
def test_names_that_mean_nothing(
    names: tuple[str, str], wanted: dict[str, str], message: str
) -> None:
    assert error_of(*names, **wanted) == message


def test_groups_that_never_stand_together() -> None:
    other = Plan(cells=tuple(cell("lp-ft", seed, dataset="other") for seed in range(7)))
    assert error_of("full", "lp-ft", [plan(["full", "head-only"]), other]) == (
        "no section has both 'full' and 'lp-ft'; 'full' stands in net · pretrained · data / "
        "balanced · protocol default; 'lp-ft' stands in net · pretrained · other / balanced · "
        "protocol default"
    )
    assert error_of("full", "lp-ft", [plan(["full"]), other], dataset="other") == (
        "unknown group 'full'; there are: lp-ft"
    )


def test_a_strategy_with_several_options_is_named_by_its_label() -> None:
    cells = [cell("full", seed, options={"k": k}) for k in (1, 2) for seed in range(7)]
    both = Plan(cells=(*cells, *(cell("head-only", seed) for seed in range(7))))
    assert error_of("full", "head-only", [both]) == (
        "'full' names 2 groups of net · pretrained · data / balanced · protocol default: "
        "'full (k=1)', 'full (k=2)'"
    )
    records = by_id(record(one, 0.6) for one in cells) | results({"head-only": [0.5] * 7})
    found = one("full (k=2)", "full (k=1)", records, plans=[both])
    assert (found.a.options, found.b.options) == ({"k": 2}, {"k": 1})
    assert found.outcome == "tied"


def test_a_skipped_group_says_why() -> None:
    skips = tuple(Skip(cell=cell("lp-ft", seed), reason="no head") for seed in range(7))
    skipping = plan(["full", "head-only"], skipped=skips)
    assert error_of("full", "lp-ft", [skipping]) == (
        "lp-ft was skipped in net · pretrained · data / balanced · protocol default: no head"
    )
