"""Where two groups differ: McNemar against statsmodels, classes and examples by hand."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar
from support.tables import cell, classes, record

from sftbench.records import ClassResult
from sftbench.verdicts.examples import (
    Outcomes,
    class_differences,
    differing_examples,
    mcnemar_p,
    seed_tests,
)
from sftbench.verdicts.statistics import holm, seed_interval, sign_flip_p


def outcomes(predicted: list[int], targets: list[int], index: list[int] | None = None) -> Outcomes:
    rows = range(len(targets)) if index is None else index
    return Outcomes(np.array(rows), np.array(targets), np.array(predicted))


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 1), (3, 9), (12, 12), (0, 14), (103, 53)])
def test_mcnemar_agrees_with_statsmodels(only_a: int, only_b: int) -> None:
    oracle = mcnemar([[50, only_a], [only_b, 20]], exact=True).pvalue
    assert mcnemar_p(only_a, only_b) == pytest.approx(oracle)


def test_models_that_never_differ() -> None:
    assert mcnemar_p(0, 0) == 1.0


def test_seed_tests_count_what_one_alone_has_right() -> None:
    targets = [0] * 8
    a = outcomes([0, 0, 0, 0, 0, 1, 1, 1], targets)
    b = outcomes([0, 2, 2, 2, 2, 0, 1, 2], targets)
    found = seed_tests({3: (a, b), 1: (a, a)})
    assert [(one.seed, one.only_a, one.only_b) for one in found] == [(1, 0, 0), (3, 4, 1)]
    assert [one.p for one in found] == [1.0, pytest.approx(12 / 32)]
    assert [one.p_adjusted for one in found] == holm([1.0, 12 / 32]).tolist()
    assert seed_tests({}) == ()


def test_classes_are_paired_over_seeds() -> None:
    hits = {"a": [[90, 50], [80, 52], [85, 54]], "b": [[60, 50], [60, 53], [70, 50]]}
    pairs = [
        tuple(record(cell(name, seed), per_class=classes(hits[name][seed])) for name in "ab")
        for seed in range(3)
    ]
    shirt, boot = class_differences(pairs)
    gaps = [0.3, 0.2, 0.15]
    assert (shirt.label, shirt.support, shirt.train_count) == ("Shirt", 100, 120)
    assert (shirt.mean_a, shirt.mean_b) == pytest.approx((0.85, 0.19 / 0.3))
    assert shirt.difference == pytest.approx(np.mean(gaps))
    assert shirt.interval == pytest.approx(seed_interval(gaps))
    assert (shirt.p, boot.p) == (sign_flip_p(gaps), sign_flip_p([0.0, -0.01, 0.04]))
    assert [shirt.p_adjusted, boot.p_adjusted] == holm([shirt.p, boot.p]).tolist()
    assert class_differences([]) == ()


def test_a_tasks_own_score_counts_and_empty_classes_do_not() -> None:
    def results(score: float) -> tuple[ClassResult, ...]:
        return (
            ClassResult(label="box", train_count=5, support=9, recall=0.9, score=score),
            ClassResult(label="none", train_count=5, support=0, recall=None),
        )

    a, b = (
        record(cell("a", 0), per_class=results(0.4)),
        record(cell("b", 0), per_class=results(0.1)),
    )
    [only] = class_differences([(a, b)])
    assert (only.label, only.mean_a, only.mean_b, only.interval) == ("box", 0.4, 0.1, None)


def test_examples_by_the_seeds_in_which_they_differ() -> None:
    targets = [0, 1, 2, 0, 1]
    index = [10, 20, 30, 40, 50]
    right = outcomes(targets, targets, index)
    a = [right, right, outcomes([0, 1, 0, 0, 0], targets, index)]
    b = [
        outcomes([1, 1, 2, 2, 1], targets, index),
        outcomes([2, 1, 0, 0, 1], targets, index),
        outcomes([2, 1, 2, 2, 1], targets, index),
    ]
    found = differing_examples(dict(enumerate(zip(a, b, strict=True))), ["cat", "dog", "bee"], 9)
    # 20 is right everywhere; 30 is right twice in both, and so is not among them.
    assert [(one.index, one.right_a, one.right_b) for one in found] == [
        (10, 3, 0), (40, 3, 1), (50, 2, 3),
    ]  # fmt: skip
    assert (found[0].label, found[0].said_a, found[0].said_b) == ("cat", None, "bee")
    assert (found[2].label, found[2].said_a, found[2].said_b) == ("dog", "cat", None)
    pairs = {0: (a[0], b[0])}
    assert [one.index for one in differing_examples(pairs, [], 1)] == [10]
    assert differing_examples(pairs, [], 1)[0].label == "class 0"
    assert differing_examples(pairs, [], 0) == differing_examples({}, [], 5) == ()


def test_outcomes_of_other_examples_are_not_compared() -> None:
    one = outcomes([0, 1], [0, 1])
    assert one.is_about(outcomes([1, 1], [0, 1]))
    assert not one.is_about(outcomes([0, 1], [0, 1], [0, 2]))
    assert not one.is_about(outcomes([0, 1], [0, 0]))
