"""Logistic regression on frozen features."""

from __future__ import annotations

from pydantic import Field

from sftbench.api import Convex, Options, Stage, Strategy, StrategyContext


class LogisticProbeOptions(Options):
    """`C`: inverse strength of the penalty, as in scikit-learn; `tolerance`, `max_iterations`."""

    C: float = Field(0.316, gt=0)
    tolerance: float = Field(1e-5, gt=0)
    max_iterations: int = Field(1000, ge=1)


class LogisticProbe(Strategy):
    """Multinomial logistic regression on frozen features, to convergence by L-BFGS.

    The minimum of C sum_i loss_i + 1/2 ||W||^2, the bias without a penalty: the protocol's epochs,
    rates and schedule do not matter.

    Source: Radford et al. 2021 (CLIP), section 3.2 and appendix A.3: C = 0.316 and at most 1,000
    iterations. The C is not swept here: `logistic-probe:0.1` names another.
    """

    name = "logistic-probe"
    summary = "logistic regression on frozen features, to convergence"
    needs_labels = True
    options_model = LogisticProbeOptions
    options: LogisticProbeOptions
    argument = "C"

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage with a solver."""
        solver = Convex(
            l2=1.0 / (self.options.C * int(ctx.train_counts.sum())),
            tolerance=self.options.tolerance,
            max_iterations=self.options.max_iterations,
        )
        return [Stage(name="head", trainable=ctx.is_head, solver=solver)]
