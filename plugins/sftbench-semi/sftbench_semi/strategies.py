"""Losses over labelled and unlabelled images in one step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field
from torch.nn import functional as F

from sftbench.api import (
    BackboneInfo,
    DatasetInfo,
    Options,
    Stage,
    StepOutput,
    Strategy,
    StrategyContext,
    Stream,
)

if TYPE_CHECKING:
    from torch import Tensor

_STREAM = "unlabelled"


def sure_loss(guess: Tensor, logits: Tensor, threshold: float) -> Tensor:
    """Return the mean over the batch of the cross-entropy where the guess is sure, else 0.

    Args:
        guess: Logits float [M, C] whose largest is the label where its probability is at least
            `threshold`; no gradient goes into it.
        logits: float [M, C] that are to give these labels.
        threshold: 0 to 1.
    """
    probability, label = guess.detach().float().softmax(dim=-1).max(dim=-1)
    losses = F.cross_entropy(logits.float(), label, reduction="none")
    return (losses * (probability >= threshold)).mean()


class SemiOptions(Options):
    """`threshold` of a sure answer; `weight` of the unlabelled loss; `ratio` of those images."""

    threshold: float = Field(0.95, ge=0, le=1)
    weight: float = Field(1.0, ge=0)
    ratio: float = Field(1.0, gt=0, le=64)


class FixMatchOptions(SemiOptions):
    """The same, with seven unlabelled images for one with a label."""

    ratio: float = Field(7.0, gt=0, le=64)


class PseudoLabelOptions(SemiOptions):
    """The same, and `ramp`: the share of training over which the weight rises from 0."""

    ramp: float = Field(0.4, ge=0, le=1)


class _Semi(Strategy):
    """Unlabelled images are those that the variant left out (`labels:N`)."""

    needs_labels = True
    needs_unlabelled = True
    claims = frozenset({"loss", "streams"})

    def supports(self, task: str, backbone: BackboneInfo, dataset: DatasetInfo) -> str | None:
        """Refuse backbones that take no images: there are no views of other things."""
        if "image-classification" in backbone.tasks:
            return None
        return f"strategy {self.name} needs weak and strong views of images"


class PseudoLabel(_Semi):
    """Add the cross-entropy of unlabelled images to the network's own sure answers.

    Answer and loss are of the same weak view. The weight rises linearly over the first 40 % of
    training.

    Source: Lee 2013, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for
    Deep Neural Networks", equation 15; threshold and ramp as in USB. Labelled and unlabelled images
    pass the network one after the other, so batch norm sees each by itself.
    """

    name = "pseudo-label"
    summary = "full, with the network's own sure answers as labels of unlabelled images"
    options_model = PseudoLabelOptions
    options: PseudoLabelOptions

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage with a stream of unlabelled images."""
        stream = Stream(name=_STREAM, source="unlabelled", ratio=self.options.ratio)

        def loss(step: StepOutput) -> Tensor:
            [weak] = step.streams[_STREAM].logits
            risen = min(1.0, step.progress / self.options.ramp) if self.options.ramp else 1.0
            labelled = step.task_loss(step.logits, step.targets)
            unlabelled = sure_loss(weak, weak, self.options.threshold)
            return labelled + risen * self.options.weight * unlabelled

        return [Stage(name="train", streams=(stream,), loss=loss)]


class FixMatch(_Semi):
    """Add the cross-entropy of strong views to the network's sure answers on weak views.

    Source: Sohn et al. 2020, "FixMatch: Simplifying Semi-Supervised Learning with Consistency and
    Confidence", equations 3 and 4: threshold 0.95, weight 1, seven unlabelled images for each with
    a label. The weak view is the protocol's augmentation, the strong one the task's. The weak view
    is run in train mode, one after the other as in `pseudo-label`; weights are not averaged (add
    `ema` in a composite).
    """

    name = "fixmatch"
    summary = "full, with sure answers on weak views as labels of strong ones"
    options_model = FixMatchOptions
    options: FixMatchOptions

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage with a stream of two views of unlabelled images."""
        stream = Stream(
            name=_STREAM, source="unlabelled", ratio=self.options.ratio, views=("weak", "strong")
        )

        def loss(step: StepOutput) -> Tensor:
            weak, strong = step.streams[_STREAM].logits
            labelled = step.task_loss(step.logits, step.targets)
            unlabelled = sure_loss(weak, strong, self.options.threshold)
            return labelled + self.options.weight * unlabelled

        return [Stage(name="train", streams=(stream,), loss=loss)]
