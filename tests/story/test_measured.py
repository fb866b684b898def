"""Numbers beside thresholds say the same as the verdicts do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from support.tables import ACCURACY, cell, classes, plan, record, results

from sftbench.records import HistoryRow, MetricSpec, Record
from sftbench.story.measured import distortion_criteria, reason_criteria, success_criteria
from sftbench.story.readings import CELL_READINGS, Reading
from sftbench.verdicts.comparisons import Comparison
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.evidence import Group, class_counts
from sftbench.verdicts.reasons import Anchor, cell_findings
from sftbench.verdicts.sections import find_sections
from sftbench.verdicts.statistics import Interval

ANCHOR = Anchor("head-only", calibration_error=0.02, robustness=0.8)
NLL = MetricSpec(name="nll", direction="min", range=(0.0, None), chance=1.2)


def some_records(number: int) -> Iterator[Record]:
    """Records of all sorts, near the thresholds and far from them."""
    rng = np.random.default_rng(7)
    for _ in range(number):
        num = int(rng.integers(2, 8))
        train = np.sort(rng.integers(1, 400, num))[::-1] if rng.random() < 0.7 else [100] * num
        hits = rng.integers(0, 101, num) if rng.random() < 0.7 else rng.integers(0, 12, num)
        losses = rng.uniform(0.1, 4.0, 4)
        yield record(
            cell("full", 0),
            metric_specs=(ACCURACY, NLL),
            per_class=classes(hits.tolist(), 100, [int(one) for one in train]),
            history=tuple(
                HistoryRow(
                    stage="head" if place < 2 else "train",
                    epoch=float(place % 2),
                    step=place + 1,
                    train_loss=float(loss),
                    val_loss=float(loss / rng.uniform(0.8, 1.5)) if place else None,
                    rate=0.1,
                )
                for place, loss in enumerate(losses)
            ),
            metrics={
                "selected": {
                    "test": {"accuracy": 0.7, "ece_scaled": float(rng.uniform(0, 0.1))},
                    "train": {"accuracy": float(rng.uniform(0.7, 1.0))},
                    "source": {"accuracy_before": 0.7, "accuracy_after": float(rng.uniform(0, 1))},
                    "corrupted": {"accuracy": 0.3, "ratio": float(rng.uniform(0.6, 1.0))},
                }
            },
        )


def test_a_reading_is_met_exactly_where_the_reason_is() -> None:
    seen = {name: [0, 0] for name in CELL_READINGS}
    for one in some_records(400):
        findings = cell_findings(one, frozenset(CELL_READINGS), Criteria(), ANCHOR)
        met = {finding.reason for finding in findings}
        for name, read in CELL_READINGS.items():
            readings = list(read(one, class_counts(one), Criteria(), ANCHOR))
            assert any(reading.is_met for reading in readings) is (name in met), (name, readings)
            seen[name][name in met] += 1
    assert all(min(counts) > 10 for counts in seen.values()), seen


def group_of(records: list[Record]) -> Group:
    found = {one.cell_id: one for one in records}
    (section,) = find_sections([plan(["full"], seeds=len(records))], found)
    return section.groups[0]


def test_the_seed_that_decides_stands_for_the_group() -> None:
    errors = [0.02, 0.04, 0.09]
    group = group_of(
        [
            record(
                cell("full", seed),
                metrics={"selected": {"test": {"accuracy": 0.7, "ece_scaled": error}}},
            )
            for seed, error in enumerate(errors)
        ]
    )
    found = reason_criteria(
        group,
        frozenset({"MISCALIBRATED", "CRASHED"}),
        Criteria(),
        anchor=Anchor(),
        transfer=None,
    )
    first, second = found
    assert first.reading == Reading("ECE after temperature scaling", 0.04, ">", 0.05)
    assert (first.is_met, first.seeds, first.is_wanted) == (False, "1 of 3 seeds", False)
    assert first.reading.by == pytest.approx(-0.01)
    assert second.reading == Reading("seeds that ended so", 0.0, ">", 1.5)


def comparison(**changes: object) -> Comparison:
    values: dict[str, object] = {
        "against": "head-only",
        "estimate": 0.03,
        "gain": 0.03,
        "interval": Interval(0.03, 0.01, 0.05, 0.01, 6.0),
        "p": 0.01,
        "p_adjusted": 0.03,
        "num_pairs": 7,
        "num_family": 3,
        "seeds_needed": 7,
        "lacking": "",
    }
    return Comparison(**(values | changes))  # type: ignore[arg-type]


def test_what_a_success_needs_and_by_how_much_it_has_it() -> None:
    group = group_of(list(results({"full": [0.7, 0.7]}).values()))
    found = success_criteria(group, comparison(), Criteria())
    assert [(one.reading.what, one.is_met) for one in found] == [
        ("seeds without a result", True),
        ("adjusted p", True),
        ("lower end of the gain over head-only (95 % population)", True),
        ("gain over head-only in accuracy", True),
    ]
    assert [one.reading.by for one in found] == pytest.approx([0.0, 0.02, 0.01, 0.02])
    few = success_criteria(group, comparison(p_adjusted=None, num_pairs=3), Criteria())
    assert few[1].reading == Reading("paired seeds", 3.0, ">=", 7.0)
    assert success_criteria(group, None, Criteria()) == ()


def test_a_threshold_with_an_equals_sign_counts_what_stands_on_it() -> None:
    assert Reading("", 0.9 - 0.8, ">=", 0.1).is_met
    assert not Reading("", 0.1, ">", 0.1).is_met
    assert Reading("", 0.1, "<=", 0.1).is_met


def test_foreign_data_is_told_of_for_the_group_alone() -> None:
    def seeds_of(strategy: str, auroc: float) -> list[Record]:
        return [
            record(
                cell(strategy, seed),
                metrics={
                    "selected": {
                        "test": {"accuracy": 0.7},
                        "ood:svhn": {"auroc_max_softmax": auroc - 0.001 * seed},
                    }
                },
            )
            for seed in range(7)
        ]

    found = {
        one.cell_id: one
        for name, auroc in {"head-only": 0.9, "full": 0.8, "sam": 0.95}.items()
        for one in seeds_of(name, auroc)
    }
    (section,) = find_sections([plan(["head-only", "full", "sam"])], found)
    base, full, sam = section.groups
    (worse,) = distortion_criteria(section, full, Criteria(), is_met=True)
    assert worse.reading.what == "adjusted p of AUROC -0.100 to head-only, svhn"
    assert worse.reading.found == pytest.approx(2 * 2 / 2**7)
    assert worse.is_met
    (better,) = distortion_criteria(section, sam, Criteria(), is_met=False)
    assert (better.reading.is_met, better.is_met) == (True, False)
    assert distortion_criteria(section, base, Criteria(), is_met=False) == ()
