"""The thresholds of every verdict: one frozen object, printed under every table."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from sftbench.options import Options, validate

# Training from random weights answers whether pretraining hurt. It is a role in the verdicts, as
# the baseline is one in a plan, and so its strategy is named here, once.
TRANSFER_REFERENCE = "scratch"
# A head on frozen features leaves the backbone as it was: what calibration, robustness and the
# sense for foreign images are measured against. A role, too, whatever the plan's baseline is.
FROZEN_REFERENCE = "head-only"


class Criteria(Options):
    """What counts as significant, as large enough, and as each reason.

    `alpha`: an adjusted p must lie below it. `level`: of two-sided intervals and of the one-sided
    bounds of reasons. `margin`: least difference, a share of the metric's range (of 1 where the
    range has no end). `divergence_factor`: last over first training loss. `collapse_share`: the
    worst class's recall, a share of 1/C. `imbalance_ratio`: largest over smallest class; groups of
    classes exist from 2 on. `unstable_factor`: SD over seeds, in binomial standard errors.
    `overfit_gap`: training over test examples, a share of the metric's range. `overfit_rise`: last
    over least validation loss. `calibration_error`: ECE after temperature scaling.
    `calibration_factor`: the same, over that of a head on frozen features, from which it must be
    the margin apart. `forgetting_drop`: of
    source accuracy. `fragile_drop`: of the share of accuracy that corrupted images keep.
    """

    alpha: float = Field(0.05, gt=0, lt=1)
    level: float = Field(0.95, gt=0.5, lt=1)
    margin: float = Field(0.01, ge=0, lt=1)
    divergence_factor: float = Field(1.5, ge=1)
    collapse_share: float = Field(0.5, gt=0, le=1)
    imbalance_ratio: float = Field(2.0, ge=2)
    unstable_factor: float = Field(3.0, gt=0)
    overfit_gap: float = Field(0.1, ge=0, lt=1)
    overfit_rise: float = Field(1.1, ge=1)
    calibration_error: float = Field(0.05, ge=0, le=1)
    calibration_factor: float = Field(2.0, ge=1)
    forgetting_drop: float = Field(0.1, gt=0, le=1)
    fragile_drop: float = Field(0.05, gt=0, le=1)

    def overridden(self, changes: Mapping[str, Any]) -> "Criteria":
        """Return the criteria with `changes` laid over them.

        Raises:
            RequestError: Unknown key, or a value that is not allowed.
        """
        return validate(Criteria, {**self.model_dump(), **changes}, "criteria") if changes else self

    def line(self) -> str:
        """Return the thresholds of a success, a failure and the hard reasons as one line."""
        level = f"{100 * self.level:g} %"
        return (
            f"criteria: adjusted p < {self.alpha:g}; population interval ({level}) without 0, by "
            f"Holm too; difference >= {self.margin:g} of the metric's range; a hard reason in more "
            "than half of the seeds; DIVERGED: last train loss > "
            f"{self.divergence_factor:g} x that of knowing nothing; NO_LEARNING: {level} lower "
            f"bounds at or under chance; MINORITY_COLLAPSE (classes {self.imbalance_ratio:g}:1 or "
            f"more): {level} upper bound of the worst recall < {self.collapse_share:g}/C, or tail "
            "recall under half of head recall"
        )

    def soft_line(self) -> str:
        """Return the thresholds of the soft reasons, which make no failure, as one line."""
        return (
            f"soft reasons: OVERFIT: train - test > {self.overfit_gap:g} and validation loss > "
            f"{self.overfit_rise:g} x its least; MISCALIBRATED: scaled ECE > "
            f"{self.calibration_error:g}, or > {self.calibration_factor:g} x and {self.margin:g} "
            f"above {FROZEN_REFERENCE}'s; "
            f"FORGETTING: source accuracy {self.forgetting_drop:g} lower; FRAGILE: "
            f"corrupted/clean {self.fragile_drop:g} below {FROZEN_REFERENCE}'s; OOD_DISTORTION: "
            f"better than {FROZEN_REFERENCE}, AUROC lower at adjusted p < {self.alpha:g}; "
            f"UNSTABLE: hard in some seeds, or SD over seeds > {self.unstable_factor:g} binomial "
            "errors"
        )
