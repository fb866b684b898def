"""Distillation: a larger network is fine-tuned first, and the cell's learns from it."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from sftbench.api import (
    Backbone,
    BackboneInfo,
    Create,
    DatasetInfo,
    Model,
    Options,
    Stage,
    StepOutput,
    Strategy,
    StrategyContext,
)
from sftbench_compress.measuring import check_validation, measure, reason_against

_ASIDE = "aside"


class DistilOptions(Options):
    """What is taught, and how strongly.

    `teacher`: reference of its backbone. `temperature`: T. `alpha`: weight of the teacher's part;
    that of the labels' is 1 - alpha. `teacher_share`: of the budget.
    """

    teacher: str = Field(min_length=1)
    temperature: float = Field(4.0, gt=0)
    alpha: float = Field(0.9, ge=0, le=1)
    teacher_share: float = Field(0.5, gt=0, lt=1)


class Distil(Strategy):
    """Fine-tune a larger network, then train the cell's own on its outputs and on the labels.

    loss = (1 - alpha) CE(z, y) + alpha T^2 KL(softmax(t / T) || softmax(z / T)), z the student's
    logits and t the teacher's on the same augmented inputs. The teacher is frozen, in eval mode and
    as it is at the end of its stage. Both share one budget of examples (`budget_factor` 1), so the
    student sees fewer than without a teacher; the teacher's passes while the student trains are
    counted as forward passes.

    Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", section 2; T = 4 and
    alpha = 0.9 as in Tian et al. 2020, "Contrastive Representation Distillation".
    """

    name = "distil"
    summary = "fine-tune a larger TEACHER, then learn from its outputs"
    needs_labels = True
    claims = frozenset({"trainable", "loss", "final", "compression"})
    options_model = DistilOptions
    options: DistilOptions
    argument = "teacher"
    example: ClassVar[str | None] = "tf_efficientnet_lite0"

    def bind(self, create: Create) -> None:
        """Find the teacher's backbone.

        Raises:
            RequestError: It is unknown.
        """
        self.teacher = cast(Backbone, create("backbone", self.options.teacher))
        self.backbones = (self.teacher.reference,)
        # What comes out depends on the teacher's code too.
        self.algorithm_version = type(self).algorithm_version + self.teacher.algorithm_version - 1

    def supports(self, task: str, backbone: BackboneInfo, dataset: DatasetInfo) -> str | None:
        """Return a reason where the two do not see the same images."""
        look = self.teacher.info()
        theirs, ours = (look.mean, look.std), (backbone.mean, backbone.std)
        if theirs != ours:
            return (
                f"teacher {self.teacher.reference} wants images with mean and deviation {theirs}, "
                f"the student {ours}"
            )
        return reason_against(self.name, dataset, look) or reason_against(
            self.name, dataset, backbone
        )

    def adapt(self, model: Model, ctx: StrategyContext) -> Model:
        """Build the teacher and keep it beside the student."""
        assert ctx.model_of is not None  # noqa: S101 - the engine sets it
        model.extra[_ASIDE] = ctx.model_of(self.teacher)
        return model

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return the teacher's stage and the student's."""
        check_validation(self.name, ctx)
        share = self.options.teacher_share
        return [
            Stage(name="teacher", trainable=_is_active, share=share, prepare=_exchange),
            Stage(
                name="student",
                trainable=_is_active,
                share=1 - share,
                prepare=_exchange,
                loss=self._loss,
                loss_passes=1,
            ),
        ]

    def finalise(self, model: Model, ctx: StrategyContext) -> Model:
        """Let the teacher go, and measure the student."""
        teacher, student = measure(
            cast(Model, model.extra.pop(_ASIDE)), model, ctx, ("teacher", "student")
        )
        smaller = teacher.parameters / student.parameters
        faster = teacher.latency_seconds / student.latency_seconds
        ctx.remarks.append(
            f"teacher {self.teacher.reference} has validation {teacher.validation:.3f}, the "
            f"student {student.validation:.3f} with {smaller:.3g} times fewer parameters, "
            f"{faster:.2f} times as fast for one image"
        )
        return model

    def _loss(self, step: StepOutput) -> Tensor:
        with torch.no_grad():
            taught = step.model.extra[_ASIDE](step.inputs)
        alpha = self.options.alpha
        hard = step.task_loss(step.logits, step.targets)
        soft = distillation(step.logits, taught, self.options.temperature)
        return (1 - alpha) * hard + alpha * soft


def distillation(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """Return T^2 KL(softmax(taught / T) || softmax(logits / T)), the mean over examples [B, C]."""
    precise = logits if logits.dtype == torch.float64 else logits.float()
    found = F.log_softmax(precise / temperature, dim=1)
    wanted = F.log_softmax(taught.to(precise.dtype) / temperature, dim=1)
    divergence = F.kl_div(found, wanted, reduction="batchmean", log_target=True)
    return temperature**2 * divergence


def _is_active(name: str) -> bool:
    """Tell whether a parameter belongs to the network in front, not to the one aside."""
    return not name.startswith("extra.")


def _exchange(model: Model, _ctx: StrategyContext) -> None:
    """Put the network aside in front, and the one in front aside."""
    aside = cast(Model, model.extra[_ASIDE])
    model.backbone, aside.backbone = aside.backbone, model.backbone
    model.head, aside.head = aside.head, model.head
