"""Temperature scaling: one number that divides all logits, chosen on validation. Without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sftbench.evaluation.classification import nll, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Where validation has no mistake the best temperature is 0, and where it is guesswork, endless.
LOWEST, HIGHEST = 0.05, 20.0


def fit_temperature(logits: NDArray[np.floating[Any]], targets: NDArray[np.int64]) -> float:
    """Return the temperature in [`LOWEST`, `HIGHEST`] under which the targets are likeliest.

    The mean negative log likelihood of `logits / T` is convex in 1 / T, so its slope has one root,
    which Brent's method finds. Logits that say nothing about any class keep T = 1.

    Args:
        logits: float [N, C], of validation.
        targets: int64 [N].

    Raises:
        ValueError: The input is invalid.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2; there the same
        minimum is looked for by L-BFGS, without bounds.
    """
    from scipy.optimize import brentq

    nll(logits, targets)  # checks both
    scores = logits.astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    own = scores[np.arange(len(targets)), targets].mean()

    def slope(log_inverse: float) -> float:
        shares = softmax(scores * np.exp(log_inverse))
        return float((shares * scores).sum(axis=1).mean() - own)

    coldest, hottest = -np.log(LOWEST), -np.log(HIGHEST)
    if not scores.any():
        return 1.0
    if slope(hottest) >= 0:
        return HIGHEST
    if slope(coldest) <= 0:
        return LOWEST
    return float(np.exp(-brentq(slope, hottest, coldest, xtol=1e-12)))


def scaled(logits: NDArray[np.floating[Any]], temperature: float) -> NDArray[np.float64]:
    """Return the logits divided by a temperature, float64 [N, C]; the predicted classes stay."""
    return np.asarray(logits.astype(np.float64) / temperature)
