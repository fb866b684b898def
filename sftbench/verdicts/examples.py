"""Where two groups differ: by class, by test example, and McNemar's test for each seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sftbench.records import ClassResult, Record
from sftbench.verdicts.statistics import holm, seed_interval, sign_flip_p

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What one model said of the test examples, in the order of their index.

    Attributes:
        index: int64 [N], position in the official split.
        targets: int64 [N].
        predicted: int64 [N].
    """

    index: Ints
    targets: Ints
    predicted: Ints

    @property
    def right(self) -> Bools:
        """Whether each prediction is the target, bool [N]."""
        return np.asarray(self.predicted == self.targets)

    def is_about(self, other: Outcomes) -> bool:
        """Tell whether both are of the same examples."""
        return np.array_equal(self.index, other.index) and np.array_equal(
            self.targets, other.targets
        )


class OutcomeReader(Protocol):
    """Kept predictions, as far as a comparison by example needs them; the caller brings it."""

    def gives_classes(self, task: str) -> bool | None:
        """Tell whether a task gives each example one class; None where it is not installed."""
        ...

    def outcomes_of(self, record: Record) -> Outcomes | None:
        """Return what the selected weights said of the test split; None where nothing is kept.

        For tasks that give each example one class.
        """
        ...


@dataclass(frozen=True, slots=True)
class SeedTest:
    """McNemar's exact test of the two models of one seed.

    Attributes:
        seed: Of both.
        only_a: Examples that only the first has right.
        only_b: Examples that only the second has right.
        p: Two-sided.
        p_adjusted: By Holm, over the seeds.
    """

    seed: int
    only_a: int
    only_b: int
    p: float
    p_adjusted: float


@dataclass(frozen=True, slots=True)
class ClassDifference:
    """One class: the task's score of it, else recall, of both; means over paired seeds.

    Attributes:
        label: Name of the class.
        train_count: Training examples.
        support: Test examples.
        mean_a: Of the first.
        mean_b: Of the second.
        difference: First minus second.
        interval: Of the difference, on this test set; None for one seed.
        p: Sign-flip.
        p_adjusted: By Holm, over the classes.
    """

    label: str
    train_count: int
    support: int
    mean_a: float
    mean_b: float
    difference: float
    interval: tuple[float, float] | None
    p: float
    p_adjusted: float


@dataclass(frozen=True, slots=True)
class DifferingExample:
    """A test example that one group has right more often than the other.

    Attributes:
        index: Position in the official test split.
        target: Index of its class.
        label: Name of its class.
        right_a: Seeds in which the first is right.
        right_b: Seeds in which the second is right.
        said_a: The first's most frequent wrong answer; None where it is always right.
        said_b: The second's.
    """

    index: int
    target: int
    label: str
    right_a: int
    right_b: int
    said_a: str | None
    said_b: str | None


def mcnemar_p(only_a: int, only_b: int) -> float:
    """Return the exact two-sided p of McNemar's test; 1 where the two never differ.

    Of the examples that one model alone has right, each is either's with probability 1/2. It
    compares two models, not two methods: another seed gives another p.

    Source: McNemar 1947, "Note on the Sampling Error of the Difference Between Correlated
    Proportions", in its exact binomial form.
    """
    from scipy.stats import binomtest

    total = only_a + only_b
    return float(binomtest(only_a, total, 0.5).pvalue) if total else 1.0


def seed_tests(pairs: Mapping[int, tuple[Outcomes, Outcomes]]) -> tuple[SeedTest, ...]:
    """Return McNemar's test for each seed, by its two models."""
    found = []
    for seed, (a, b) in sorted(pairs.items()):
        only_a, only_b = int(np.sum(a.right & ~b.right)), int(np.sum(b.right & ~a.right))
        found.append(SeedTest(seed, only_a, only_b, mcnemar_p(only_a, only_b), 1.0))
    adjusted = holm([one.p for one in found])
    return tuple(replace(one, p_adjusted=float(p)) for one, p in zip(found, adjusted, strict=True))


def class_differences(
    pairs: Sequence[tuple[Record, Record]], level: float = 0.95
) -> tuple[ClassDifference, ...]:
    """Return the difference of every class over paired seeds, the largest first.

    A class counts that all records know; counts of examples are the first record's.
    """
    values = [(_by_label(a), _by_label(b)) for a, b in pairs]
    if not values:
        return ()
    labels = [label for label in values[0][0] if all(label in a and label in b for a, b in values)]
    counts = {one.label: one for one in pairs[0][0].per_class}
    found = []
    for label in labels:
        first = np.array([a[label] for a, _ in values])
        second = np.array([b[label] for _, b in values])
        gaps = first - second
        found.append(
            ClassDifference(
                label=label,
                train_count=counts[label].train_count,
                support=counts[label].support,
                mean_a=float(first.mean()),
                mean_b=float(second.mean()),
                difference=float(gaps.mean()),
                interval=seed_interval(gaps, level),
                p=sign_flip_p(gaps),
                p_adjusted=1.0,
            )
        )
    adjusted = holm([one.p for one in found])
    whole = [replace(one, p_adjusted=float(p)) for one, p in zip(found, adjusted, strict=True)]
    # Sorting is stable: equals stay in the order of the classes.
    return tuple(sorted(whole, key=lambda one: -abs(round(one.difference, 12))))


def differing_examples(
    pairs: Mapping[int, tuple[Outcomes, Outcomes]], labels: Sequence[str], most: int
) -> tuple[DifferingExample, ...]:
    """Return the test examples on which the two differ in most seeds, at most `most`.

    By the number of seeds that the one is right in more than the other; of equals, the lower
    index first. Those that both have right equally often are none of them. All outcomes must be
    of the same examples.
    """
    if not pairs or most < 1:
        return ()
    firsts = [a for a, _ in pairs.values()]
    seconds = [b for _, b in pairs.values()]
    right_a = np.sum([one.right for one in firsts], axis=0)
    right_b = np.sum([one.right for one in seconds], axis=0)
    gaps = np.abs(right_a - right_b)
    order = [int(row) for row in np.argsort(-gaps, kind="stable")[:most] if gaps[row] > 0]
    return tuple(
        DifferingExample(
            index=int(firsts[0].index[row]),
            target=int(firsts[0].targets[row]),
            label=_named(int(firsts[0].targets[row]), labels),
            right_a=int(right_a[row]),
            right_b=int(right_b[row]),
            said_a=_usual_mistake(firsts, row, labels),
            said_b=_usual_mistake(seconds, row, labels),
        )
        for row in order
    )


def _usual_mistake(outcomes: Sequence[Outcomes], row: int, labels: Sequence[str]) -> str | None:
    said = Counter(int(one.predicted[row]) for one in outcomes if not one.right[row])
    if not said:
        return None
    # Of equally frequent answers the lower class index, whatever the order of seeds.
    return _named(min(said, key=lambda answer: (-said[answer], answer)), labels)


def _named(target: int, labels: Sequence[str]) -> str:
    return labels[target] if 0 <= target < len(labels) else f"class {target}"


def _by_label(record: Record) -> dict[str, float]:
    """Return what a record says of each class with test examples."""
    values = {one.label: _score(one) for one in record.per_class if one.support > 0}
    return {label: value for label, value in values.items() if value is not None}


def _score(one: ClassResult) -> float | None:
    return one.recall if one.score is None else one.score
