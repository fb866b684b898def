"""The worst errors: test examples that most seeds had wrong, with most confidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sftbench.evaluation.classification import softmax
from sftbench.story.outputs import Outputs


@dataclass(frozen=True, slots=True)
class Mistake:
    """One test example.

    Attributes:
        index: Its position in the official test split.
        truth: Its class.
        predicted: What it was taken for most often.
        confidence: Probability of the wrong class, mean over the seeds that had it wrong.
        wrong_in: Seeds that had it wrong.
        num_seeds: Seeds that have a prediction of it.
    """

    index: int
    truth: str
    predicted: str
    confidence: float
    wrong_in: int
    num_seeds: int


def worst_mistakes(outputs: Mapping[int, Outputs], most: int) -> tuple[Mistake, ...]:
    """Return the worst errors, at most `most`: wrong in most seeds first, then most confident."""
    seen: Counter[int] = Counter()
    wrong: dict[int, list[tuple[int, int, float]]] = {}
    labels: tuple[str, ...] = ()
    for one in outputs.values():
        labels = one.labels
        seen.update(one.test.index.tolist())
        predicted = one.test.outputs.argmax(axis=1)
        confidence = softmax(one.test.outputs).max(axis=1)
        for place in np.flatnonzero(predicted != one.test.targets):
            found = (
                int(one.test.targets[place]),
                int(predicted[place]),
                float(confidence[place]),
            )
            wrong.setdefault(int(one.test.index[place]), []).append(found)
    mistakes = [_mistake(index, found, seen[index], labels) for index, found in wrong.items()]
    return tuple(sorted(mistakes, key=lambda one: (-one.wrong_in, -one.confidence, one.index)))[
        :most
    ]


def _mistake(
    index: int, found: list[tuple[int, int, float]], num_seeds: int, labels: tuple[str, ...]
) -> Mistake:
    most_often = Counter(predicted for _, predicted, _ in found).most_common(1)[0][0]
    return Mistake(
        index=index,
        truth=labels[found[0][0]],
        predicted=labels[most_often],
        confidence=float(np.mean([confidence for *_, confidence in found])),
        wrong_in=len(found),
        num_seeds=num_seeds,
    )
