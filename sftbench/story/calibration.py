"""Confidence against accuracy on the test split, before and after temperature scaling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sftbench.evaluation.calibration import (
    ReliabilityBin,
    expected_calibration_error,
    reliability_diagram,
)
from sftbench.evaluation.classification import nll
from sftbench.evaluation.temperature import fit_temperature, scaled
from sftbench.story.outputs import Outputs


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Outputs of all seeds as they are, or all divided by their temperatures.

    Attributes:
        ece: Expected calibration error, 15 equal bins, mean over seeds.
        nll: Mean negative log likelihood in nats, mean over seeds.
        bins: Of the reliability diagram, all seeds together.
    """

    ece: float
    nll: float
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What scaling by one temperature changes; the predicted classes stay.

    Attributes:
        temperatures: By seed, fitted on the validation logits that are kept; empty without them.
        before: The outputs as they are, of the seeds that have a temperature (of all, if none has).
        after: The same, scaled; None where no seed has validation outputs.
    """

    temperatures: Mapping[int, float]
    before: Calibrated
    after: Calibrated | None

    @property
    def temperature(self) -> float | None:
        """Mean over seeds; None without any."""
        found = list(self.temperatures.values())
        return float(np.mean(found)) if found else None


def calibration_of(outputs: Mapping[int, Outputs]) -> Calibration | None:
    """Return the calibration of all seeds; None without any outputs."""
    if not outputs:
        return None
    temperatures = {
        seed: fit_temperature(one.val.outputs, one.val.targets)
        for seed, one in outputs.items()
        if one.val is not None
    }
    if not temperatures:
        return Calibration({}, _calibrated(list(outputs.values()), [1.0] * len(outputs)), None)
    chosen = [outputs[seed] for seed in temperatures]
    return Calibration(
        temperatures,
        _calibrated(chosen, [1.0] * len(chosen)),
        _calibrated(chosen, list(temperatures.values())),
    )


def _calibrated(outputs: Sequence[Outputs], temperatures: Sequence[float]) -> Calibrated:
    logits: list[NDArray[np.float64]] = [
        scaled(one.test.outputs, temperature)
        for one, temperature in zip(outputs, temperatures, strict=True)
    ]
    targets = [one.test.targets for one in outputs]
    pairs = list(zip(logits, targets, strict=True))
    return Calibrated(
        ece=float(np.mean([expected_calibration_error(*pair) for pair in pairs])),
        nll=float(np.mean([nll(*pair) for pair in pairs])),
        bins=reliability_diagram(np.concatenate(logits), np.concatenate(targets)),
    )
