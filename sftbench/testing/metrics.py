"""Rules for metrics."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sftbench.contracts.task import Metric, MetricInput, Predictions
from sftbench.records import MetricSpec
from sftbench.testing.findings import Once, UncheckedError
from sftbench.testing.tiny import TinyImages

_CLOSE = 1e-9


class MetricSubject:
    """A metric of image classification on seeded predictions.

    Args:
        metric: The component.
    """

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.info = replace(TinyImages().info(), num_test=60)
        self.spec = Once(lambda: metric.spec(self.info))

    def inputs(self) -> list[MetricInput]:
        """Return guesses of three qualities on four classes of unequal size."""
        if TinyImages().info().task not in self.metric.tasks:
            raise UncheckedError(f"it serves {', '.join(self.metric.tasks)}")
        return [self.made(strength) for strength in (-3.0, 0.0, 1.0)]

    def made(self, strength: float) -> MetricInput:
        """Return logits of noise plus `strength` at the truth, float32 [60, 4]."""
        generator = np.random.default_rng(4)
        targets = generator.permutation(np.repeat(np.arange(4, dtype=np.int64), (30, 15, 10, 5)))
        logits = generator.normal(size=(60, 4)) + strength * np.eye(4)[targets]
        predictions = Predictions(np.arange(60), targets, logits.astype(np.float32))
        counts = np.array([300, 60, 20, 6], dtype=np.int64)
        return MetricInput(
            predictions=predictions,
            num_classes=4,
            train_counts=counts,
            validation=_validation(),
        )


def spec_is_sound(subject: MetricSubject) -> str | None:
    """Name, direction and range are those of the metric."""
    spec = subject.spec()
    if not isinstance(spec, MetricSpec):
        return f"spec() returned a {type(spec).__name__}, not a MetricSpec"
    if spec.name != subject.metric.name:
        return f"spec().name is {spec.name!r}, not {subject.metric.name!r}"
    low, high = spec.range
    return None if high is None or low < high else f"range {spec.range} is empty"


def values_lie_in_the_range(subject: MetricSubject) -> str | None:
    """A value is a finite float within the spec's range, or None where it is not defined."""
    low, high = subject.spec().range
    for data in subject.inputs():
        value: object = subject.metric.compute(data)
        if value is None:
            continue
        if not isinstance(value, float) or not math.isfinite(value):
            return f"compute() returned {value!r}; return a finite float, or None"
        if not low - _CLOSE <= value <= (math.inf if high is None else high) + _CLOSE:
            return f"compute() returned {value:g}, outside the range {subject.spec().range}"
    return None


def perfect_predictions_score_best(subject: MetricSubject) -> str | None:
    """No guess is better than the truth, in the direction that the spec names."""
    sign = 1 if subject.spec().direction == "max" else -1
    guesses = [subject.metric.compute(data) for data in subject.inputs()]
    perfect = subject.metric.compute(subject.made(100.0))
    if perfect is None:
        return None
    better = [value for value in guesses if value is not None and sign * (value - perfect) > _CLOSE]
    if better:
        return f"a guess has {better[0]:g}, the truth {perfect:g}; is the direction right?"
    return None


def order_of_examples_does_not_matter(subject: MetricSubject) -> str | None:
    """A metric is of a set of examples, and leaves them as they are."""
    for data in subject.inputs():
        kept = data.predictions.outputs.copy()
        value = subject.metric.compute(data)
        if not np.array_equal(kept, data.predictions.outputs):
            return "compute() wrote to the outputs it was given; work on a copy"
        order = np.arange(len(kept))[::-1]
        turned = subject.metric.compute(
            replace(data, predictions=chosen_rows(data.predictions, order))
        )
        if (value is None) != (turned is None) or abs((value or 0) - (turned or 0)) > 1e-6:
            return f"{value!r} becomes {turned!r} when the examples are turned round"
    return None


METRIC = (
    spec_is_sound,
    values_lie_in_the_range,
    perfect_predictions_score_best,
    order_of_examples_does_not_matter,
)


def chosen_rows(predictions: Predictions, rows: NDArray[np.int64]) -> Predictions:
    """Return the predictions of some examples."""
    return Predictions(
        index=predictions.index[rows],
        targets=predictions.targets[rows],
        outputs=predictions.outputs[rows],
    )


def _validation() -> Predictions:
    """Return seeded guesses on a split that is not the one scored."""
    generator = np.random.default_rng(5)
    targets = generator.integers(0, 4, 40)
    logits = generator.normal(size=(40, 4)) + np.eye(4)[targets]
    return Predictions(np.arange(40), targets, logits.astype(np.float32))
