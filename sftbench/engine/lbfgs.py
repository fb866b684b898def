"""L-BFGS over many smooth convex problems at once, to the minimum of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Objective = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Maps points [G, P] to values [G] and gradients [G, P]."""

_MEMORY = 10
_ARMIJO = 1e-4
_CURVATURE = 1e-10
_MOST_HALVINGS = 30


@dataclass(frozen=True, slots=True)
class Minimum:
    """Where the search ended.

    Attributes:
        points: [G, P].
        values: [G].
        iterations: int64 [G], directions that were followed.
        evaluations: Of all problems at once.
        converged: bool [G], whether every entry of the gradient is within the tolerance.
    """

    points: Tensor
    values: Tensor
    iterations: Tensor
    evaluations: int
    converged: Tensor


def minimise(
    objective: Objective, start: Tensor, *, tolerance: float, max_iterations: int
) -> Minimum:
    """Minimise G problems by L-BFGS with backtracking.

    Each problem has its own directions and step lengths; one that has converged stays where it is.

    Source: Nocedal & Wright 2006, "Numerical Optimization", algorithms 7.4 and 7.5; the step is
    halved until Armijo's condition (equation 3.4) holds. Pairs without positive curvature are left
    out, so the directions point downhill.

    Args:
        objective: Of all problems.
        start: float [G, P].
        tolerance: Largest absolute entry of the gradient at the end.
        max_iterations: Directions at most.
    """
    points = start.detach().clone()
    values, slopes = objective(points)
    evaluations = 1
    iterations = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    active = slopes.abs().amax(1) > tolerance
    memory = _Memory()
    for _ in range(max_iterations):
        if not bool(active.any()):
            break
        directions = memory.directions(slopes)
        downhill = (directions * slopes).sum(1)
        # The first step has no scale of its own yet.
        lengths = torch.ones_like(values) if memory.pairs else 1.0 / slopes.norm(dim=1).clamp(min=1)
        waiting = active.clone()
        found, found_values, found_slopes = points, values, slopes
        for _ in range(_MOST_HALVINGS):
            trial = points + lengths[:, None] * directions
            trial_values, trial_slopes = objective(trial)
            evaluations += 1
            enough = trial_values <= values + _ARMIJO * lengths * downhill
            taken = waiting & enough
            found = torch.where(taken[:, None], trial, found)
            found_values = torch.where(taken, trial_values, found_values)
            found_slopes = torch.where(taken[:, None], trial_slopes, found_slopes)
            waiting &= ~enough
            if not bool(waiting.any()):
                break
            lengths = torch.where(waiting, lengths / 2, lengths)
        memory.add(found - points, found_slopes - slopes)
        iterations += active
        points, values, slopes = found, found_values, found_slopes
        # Where no step helps any more, the numbers carry no further.
        active &= (slopes.abs().amax(1) > tolerance) & ~waiting
    return Minimum(points, values, iterations, evaluations, slopes.abs().amax(1) <= tolerance)


class _Memory:
    """The last steps and changes of slope of every problem."""

    def __init__(self) -> None:
        self.pairs: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, steps: Tensor, changes: Tensor) -> None:
        """Keep a pair [G, P]; a problem in which it has no positive curvature ignores it."""
        curvature = (steps * changes).sum(1)
        usable = curvature > _CURVATURE * changes.square().sum(1)
        inverse = torch.where(usable, 1.0 / torch.where(usable, curvature, 1.0), 0.0)
        self.pairs = [*self.pairs[-_MEMORY + 1 :], (steps, changes, inverse)]

    def directions(self, slopes: Tensor) -> Tensor:
        """Return minus the inverse Hessian's estimate times the slopes [G, P]."""
        q = slopes.clone()
        alphas = []
        for steps, changes, inverse in reversed(self.pairs):
            alpha = inverse * (steps * q).sum(1)
            q -= alpha[:, None] * changes
            alphas.append(alpha)
        q *= self._scale(slopes)[:, None]
        for (steps, changes, inverse), alpha in zip(self.pairs, reversed(alphas), strict=True):
            beta = inverse * (changes * q).sum(1)
            q += (alpha - beta)[:, None] * steps
        return -q

    def _scale(self, slopes: Tensor) -> Tensor:
        """Return each problem's scale [G] from its latest usable pair (equation 7.20)."""
        scale = torch.ones(len(slopes), dtype=slopes.dtype, device=slopes.device)
        for _, changes, inverse in self.pairs:
            latest = 1.0 / (inverse * changes.square().sum(1))
            scale = torch.where(inverse > 0, latest, scale)
        return scale
