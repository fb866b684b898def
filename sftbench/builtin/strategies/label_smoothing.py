"""Full fine-tuning towards targets that leave a little to the other classes."""

from __future__ import annotations

from pydantic import Field

from sftbench.api import Options, Stage, Strategy, StrategyContext


class LabelSmoothingOptions(Options):
    """`eps`: share of the target that is spread evenly over all classes."""

    eps: float = Field(0.1, ge=0, lt=1)


class LabelSmoothing(Strategy):
    """Cross-entropy with (1 - eps) on the true class plus eps / C on every class.

    Source: Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision",
    section 7.
    """

    name = "label-smoothing"
    summary = "full, with a share of each target spread over all classes"
    needs_labels = True
    claims = frozenset({"smoothing"})
    over_outputs = True
    options_model = LabelSmoothingOptions
    options: LabelSmoothingOptions

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        return [Stage(name="train", label_smoothing=self.options.eps)]
