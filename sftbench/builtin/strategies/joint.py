"""Source and target in one loop: the objective of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pydantic import Field
from torch import nn
from torch.nn import functional as F

from sftbench.api import (
    BackboneInfo,
    Create,
    Dataset,
    DatasetInfo,
    Model,
    Options,
    Stage,
    StepOutput,
    Strategy,
    StrategyContext,
    Stream,
)

if TYPE_CHECKING:
    from torch import Tensor

_HEAD = "source_head"


class JointOptions(Options):
    """`source`: a data set; `lam`: weight of the target's loss; `ratio`: source images for one."""

    source: str
    lam: float = Field(1.0, ge=0)
    ratio: float = Field(1.0, gt=0, le=100)


class Joint(Strategy):
    """Minimise L_source + lambda L_target over one backbone with a head for each set.

    Both heads begin at random. The budget counts target images; those of the source are counted
    besides. At lambda = 0 the backbone is trained on the source alone, but for the running
    statistics of batch norm: each set has a pass of its own, and both move them. Losses are means
    over a batch. Whatever else training sees (augmentation, size) is the same for both. The
    target itself, and a source of another task, are skipped; one with images of the target is
    refused before anything runs.

    Source: the two-term objective sum L_pre + lambda sum L_fine of pretraining with fine-tuning;
    Caruana 1997, "Multitask Learning".
    """

    name = "joint"
    summary = "one backbone on a source and the target at once, lambda on the target"
    needs_labels = True
    claims = frozenset({"loss", "streams"})
    options_model = JointOptions
    options: JointOptions
    argument = "source"
    example = "digits"

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        self.sources = (self.options.source,)

    def bind(self, create: Create) -> None:
        """Look for the source."""
        self._source = cast(Dataset, create("dataset", self.options.source)).info()

    def supports(self, task: str, backbone: BackboneInfo, dataset: DatasetInfo) -> str | None:
        """Skip a source of another task, and the target itself."""
        if self._source.task != task:
            return f"source {self.options.source} is of task {self._source.task}, not {task}"
        is_target = self._source.name == dataset.name
        return f"source {self.options.source} is the target itself" if is_target else None

    def adapt(self, model: Model, ctx: StrategyContext) -> Model:
        """Add the source's head."""
        classes = ctx.sources[self.options.source].num_classes
        model.extra[_HEAD] = nn.Linear(model.network.feature_width, classes)
        return model

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage with a stream of source images."""
        stream = Stream(name="source", source=self.options.source, ratio=self.options.ratio)
        return [Stage(name="train", streams=(stream,), loss=self._loss)]

    def _loss(self, step: StepOutput) -> Tensor:
        source = step.streams["source"]
        assert source.targets is not None  # noqa: S101 - a data set has labels
        logits = step.model.extra[_HEAD](source.features[0])
        before = F.cross_entropy(logits.float(), source.targets)
        return before + self.options.lam * step.task_loss(step.logits, step.targets)
