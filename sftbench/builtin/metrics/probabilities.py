"""Metrics of the predicted probabilities as they are: lower is better."""

from __future__ import annotations

import math

from sftbench.api import DatasetInfo, Metric, MetricInput, MetricSpec
from sftbench.evaluation import calibration, classification


class Nll(Metric):
    """Mean negative log likelihood of the truth, in nats."""

    name = "nll"
    summary = "mean negative log likelihood, nats"

    def spec(self, info: DatasetInfo) -> MetricSpec:
        """Chance is the likelihood of a uniform guess."""
        chance = math.log(info.num_classes)
        return MetricSpec(name=self.name, direction="min", range=(0.0, None), chance=chance)

    def compute(self, data: MetricInput) -> float:
        """Return the mean negative log likelihood."""
        return classification.nll(data.predictions.outputs, data.predictions.targets)


class Brier(Metric):
    """Squared error of the probabilities, summed over classes, mean over examples."""

    name = "brier"
    summary = "squared error of the probabilities"

    def spec(self, info: DatasetInfo) -> MetricSpec:
        """Chance is the score of a uniform guess."""
        chance = 1 - 1 / info.num_classes
        return MetricSpec(name=self.name, direction="min", range=(0.0, 2.0), chance=chance)

    def compute(self, data: MetricInput) -> float:
        """Return the Brier score."""
        return classification.brier(data.predictions.outputs, data.predictions.targets)


class Ece(Metric):
    """Expected calibration error over 15 equal bins (a, b] of the highest probability."""

    name = "ece"
    summary = "calibration error, 15 equal bins"

    def spec(self, info: DatasetInfo) -> MetricSpec:
        """Lower is better; a uniform guess is well calibrated on balanced data."""
        return MetricSpec(name=self.name, direction="min")

    def compute(self, data: MetricInput) -> float:
        """Return the calibration error."""
        predictions = data.predictions
        return calibration.expected_calibration_error(predictions.outputs, predictions.targets)


class EceEqualMass(Metric):
    """Expected calibration error over 15 bins that hold equally many examples."""

    name = "ece_equal_mass"
    summary = "calibration error, 15 bins of equal mass"

    def spec(self, info: DatasetInfo) -> MetricSpec:
        """Lower is better."""
        return MetricSpec(name=self.name, direction="min")

    def compute(self, data: MetricInput) -> float:
        """Return the calibration error."""
        predictions = data.predictions
        return calibration.expected_calibration_error_equal_mass(
            predictions.outputs, predictions.targets
        )
