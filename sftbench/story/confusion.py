"""Which class was taken for which, over all seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sftbench.evaluation.classification import confusion
from sftbench.story.outputs import Outputs


@dataclass(frozen=True, slots=True)
class Confused:
    """A pair of classes: how often examples of `truth` were taken for `predicted`.

    `share` is of the examples of `truth`, `share_of_errors` of all errors.
    """

    truth: str
    predicted: str
    count: int
    share: float
    share_of_errors: float


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts over the test examples of all seeds.

    Attributes:
        labels: Of the classes.
        counts: int64 [C, C]: row = truth, column = predicted.
        num_seeds: Of which it is the sum.
    """

    labels: tuple[str, ...]
    counts: NDArray[np.int64]
    num_seeds: int

    @property
    def num_errors(self) -> int:
        """Examples that were taken for another class."""
        return int(self.counts.sum() - np.trace(self.counts))

    def pairs(self, most: int) -> tuple[Confused, ...]:
        """Return the pairs that were confused most often, at most `most`, none with count 0."""
        wrong = self.counts.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        support = self.counts.sum(axis=1)
        found = []
        for place in order:
            truth, predicted = divmod(int(place), len(self.labels))
            count = int(wrong[truth, predicted])
            if count:
                found.append(
                    Confused(
                        truth=self.labels[truth],
                        predicted=self.labels[predicted],
                        count=count,
                        share=count / int(support[truth]),
                        share_of_errors=count / self.num_errors,
                    )
                )
        return tuple(found)


def confusion_of(outputs: Mapping[int, Outputs]) -> Confusion | None:
    """Return the confusions of all seeds together; None without any."""
    if not outputs:
        return None
    labels = next(iter(outputs.values())).labels
    counts = sum(
        confusion(one.test.outputs.argmax(axis=1), one.test.targets, len(labels))
        for one in outputs.values()
    )
    return Confusion(labels, np.asarray(counts, dtype=np.int64), len(outputs))
