"""Metrics after temperature scaling on validation; None where a cell has no validation split."""

from __future__ import annotations

from sftbench.api import DatasetInfo, Metric, MetricInput, MetricSpec
from sftbench.evaluation import calibration, classification
from sftbench.evaluation.temperature import fit_temperature, scaled


def _temperature(data: MetricInput) -> float | None:
    held_out = data.validation
    return None if held_out is None else fit_temperature(held_out.outputs, held_out.targets)


class Temperature(Metric):
    """What the logits are divided by so that validation is likeliest; above 1: overconfident."""

    name = "temperature"
    summary = "what divides the logits, chosen on validation"

    def spec(self, info: DatasetInfo) -> MetricSpec:
        """No temperature is better than another by itself; 1 is a calibrated model's."""
        return MetricSpec(name=self.name, direction="min", range=(0.0, None))

    def compute(self, data: MetricInput) -> float | None:
        """Return the temperature."""
        return _temperature(data)


class NllScaled(Metric):
    """Mean negative log likelihood of the truth after temperature scaling, in nats."""

    name = "nll_scaled"
    summary = "nll after temperature scaling"

    def spec(self, info: DatasetInfo) -> MetricSpec:
        """Lower is better."""
        return MetricSpec(name=self.name, direction="min", range=(0.0, None))

    def compute(self, data: MetricInput) -> float | None:
        """Return the mean negative log likelihood."""
        temperature, predictions = _temperature(data), data.predictions
        if temperature is None:
            return None
        return classification.nll(scaled(predictions.outputs, temperature), predictions.targets)


class EceScaled(Metric):
    """Expected calibration error over 15 equal bins, after temperature scaling."""

    name = "ece_scaled"
    summary = "ece after temperature scaling"

    def spec(self, info: DatasetInfo) -> MetricSpec:
        """Lower is better."""
        return MetricSpec(name=self.name, direction="min")

    def compute(self, data: MetricInput) -> float | None:
        """Return the calibration error."""
        temperature, predictions = _temperature(data), data.predictions
        if temperature is None:
            return None
        return calibration.expected_calibration_error(
            scaled(predictions.outputs, temperature), predictions.targets
        )
