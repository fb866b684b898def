"""Strategies: a way of fine-tuning, as data about training. The loop belongs to the engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from sftbench.contracts.backbone import Backbone, BackboneInfo
from sftbench.contracts.component import Component
from sftbench.contracts.dataset import DatasetInfo
from sftbench.protocol import Protocol as TrainingProtocol
from sftbench.protocol import Schedule

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from sftbench.models.model import Model

Sampler = Callable[["NDArray[np.int64]", float], "NDArray[np.float64]"]
"""Maps targets int64 [N] and progress 0..1 of the stage to sampling weights float64 [N] >= 0.

Called at the start of each epoch; N draws with replacement follow. They need not sum to one.
"""

View = Literal["plain", "weak", "strong"]
"""How inputs of a stream are seen: as in evaluation; with the protocol's augmentation; or with
the task's strong augmentation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A second flow of examples beside the labelled target examples.

    Attributes:
        name: Its key in `StepOutput.streams`.
        source: `unlabelled`: training examples that the variant left out, without targets;
            `labelled`: the target examples again, drawn independently; or the reference of
            another data set of the same task, with its own targets.
        ratio: Examples for each target example in a batch.
        views: One forward pass each.
        sampler: Weights over the stream's examples (labelled streams only), or None.
    """

    name: str
    source: str
    ratio: float = 1.0
    views: tuple[View, ...] = ("weak",)
    sampler: Sampler | None = None


@dataclass(slots=True)
class StreamOutput:
    """One stream's part of a step.

    Attributes:
        logits: For each view float [M, C], of the target's head.
        features: For each view float [M, D].
        targets: int64 [M] of the stream's own classes, or None where it has no labels.
    """

    logits: tuple[Tensor, ...]
    features: tuple[Tensor, ...]
    targets: Tensor | None


@dataclass(slots=True)
class StepOutput:
    """What a loss sees of one step.

    Attributes:
        logits: Output of the head on the target batch; float [B, C] where `Task.labels`, else the
            task's own form.
        features: Output of the backbone, float [B, D].
        targets: int64 [B] where `Task.labels`, else the task's own form.
        model: The model that trains.
        initial: Parameters and buffers before the first stage, by name; empty unless the
            strategy sets `needs_initial_state`.
        streams: Outputs of the stage's streams, by name.
        task_loss: The task's own loss of (outputs, targets), with the stage's smoothing.
        progress: Share of the stage's steps done, 0 to 1.
        inputs: What the model was given: [B, ...], augmented and normalised, mixed where the stage
            mixes; the outputs of the frozen blocks where those are cached. None where heads train
            together.
    """

    logits: Tensor
    features: Tensor
    targets: Tensor
    model: Model
    initial: Mapping[str, Tensor]
    streams: Mapping[str, StreamOutput]
    task_loss: Callable[[Tensor, Tensor], Tensor]
    progress: float
    inputs: Any = None


class Step(Protocol):
    """One step in the hands of a stage's `update`: several passes, one budget.

    Mixed precision, clipping and counting stay with the engine.
    """

    @property
    def model(self) -> Model:
        """The model that trains."""
        ...

    @property
    def parameters(self) -> Sequence[nn.Parameter]:
        """The parameters that this stage trains."""
        ...

    def loss(self) -> Tensor:
        """Run forward on this step's examples and return the stage's loss (a scalar)."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss`."""
        ...

    def apply(self) -> None:
        """Clip, take one optimiser step, and clear the gradients."""
        ...

    def zero_grad(self) -> None:
        """Clear the gradients."""
        ...

    def frozen_statistics(self) -> AbstractContextManager[None]:
        """Run what is inside without updating batch-norm statistics."""
        ...


@dataclass(frozen=True, slots=True)
class ParamRule:
    """How one parameter trains.

    Attributes:
        scale: Multiplies the learning rate.
        weight_decay: In place of the protocol's; None keeps the protocol's rule.
    """

    scale: float = 1.0
    weight_decay: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Convex:
    """Train a linear head to the minimum of a convex objective, by L-BFGS over all examples.

    The objective is the mean loss of the stage's examples + l2 / 2 ||W||^2, W the head's weight
    without its bias. It runs in float64, to convergence whatever the budget is; the record counts
    each evaluation as a pass over the examples.

    Attributes:
        l2: Weight of the penalty. Multinomial logistic regression with C has l2 = 1 / (C n).
        tolerance: Largest absolute entry of the gradient at the end.
        max_iterations: At most.
    """

    l2: float
    tolerance: float = 1e-5
    max_iterations: int = 1000


def everything(_name: str) -> bool:
    """Say that every parameter trains."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stretch of training. Frozen modules stay in eval mode whatever else happens.

    Attributes:
        name: For the history.
        trainable: Says of each parameter name whether it trains; the rest is frozen.
        share: Share of the plan's budget. The shares of all stages add up to the strategy's
            `budget_factor`.
        rule: Learning-rate scale and decay of a parameter by name.
        rate: Peak learning rate in place of the protocol's.
        schedule: In place of the protocol's.
        carry: The optimiser's state and the schedule go on from the stage before.
        prepare: Called with model and context before the stage's first step (re-initialise a
            head); runs under a seeded torch generator.
        sampler: Sampling weights for the target examples; None: each once an epoch, shuffled.
        streams: Further flows of examples.
        loss: Scalar loss of a step; None: the task's.
        loss_passes: Forward passes of the batch that a call of `loss` makes besides (a teacher's),
            for the record's counts.
        penalty: Scalar that is added to the loss, whoever's that is (a regulariser).
        label_smoothing: In place of the protocol's.
        mixup: Alpha of mixup in place of the protocol's; 0: none.
        cutmix: Likewise of CutMix.
        update: Runs one step; None: loss, backward, apply. Must call `apply` once.
        after_step: Called with model and the number of steps done in the stage (averaging).
        eval_model: The model to validate and keep, given the one that trains (averaged weights).
        solver: Finds the minimum in place of the loop's steps, where nothing but a linear head
            trains; then there are no rates, sampler, streams or `update`, and `after_step` is
            called once.
    """

    name: str
    trainable: Callable[[str], bool] = everything
    share: float = 1.0
    rule: Callable[[str], ParamRule] | None = None
    rate: float | None = None
    schedule: Schedule | None = None
    carry: bool = False
    prepare: Callable[[Model, StrategyContext], None] | None = None
    sampler: Sampler | None = None
    streams: tuple[Stream, ...] = ()
    loss: Callable[[StepOutput], Tensor] | None = None
    loss_passes: int = 0
    penalty: Callable[[StepOutput], Tensor] | None = None
    label_smoothing: float | None = None
    mixup: float | None = None
    cutmix: float | None = None
    update: Callable[[Step], None] | None = None
    after_step: Callable[[Model, int], None] | None = None
    eval_model: Callable[[Model], Model] | None = None
    solver: Convex | None = None


@dataclass(slots=True, kw_only=True)
class StrategyContext:
    """What a strategy may know of its cell.

    Attributes:
        info: The data set.
        protocol: The plan's protocol, resolved.
        train_counts: int64 [C], training examples of each class after the variant.
        num_blocks: Blocks of the backbone.
        block_names: Their names, stem first.
        block_of: Block of a parameter by its full name (`backbone....`); None for other modules.
        pretrained: Whether the backbone starts from trained weights.
        device: Where the cell runs.
        generator: `generator("key")` gives a CPU torch generator for this cell's seed and key.
        source_head: `weight` and `bias` of the head the backbone was trained with, or None.
        sources: Info of each data set that a stream names, by reference.
        snapshots: State dicts: `initial` (where `needs_initial_state`); for a strategy with
            `finalise` or `needs_snapshots` also `end:STAGE` of each stage, and `best`.
        validate: Primary metric of a model on the validation split, for `prepare` and `finalise`;
            the record counts each call.
        measures: What the strategy measured, by name with its unit (`latency_seconds_before`);
            finite numbers, for the record.
        remarks: Sentences for people about what came out; they stand under the table.
        model_of: Builds a model of another backbone, with a head for this task: from pretrained
            weights where the cell's own are trained, else random. On the CPU; for `adapt`.
    """

    info: DatasetInfo
    protocol: TrainingProtocol
    train_counts: NDArray[np.int64]
    num_blocks: int
    block_names: tuple[str, ...]
    block_of: Callable[[str], int | None]
    pretrained: bool
    device: torch.device
    generator: Callable[[str], torch.Generator]
    source_head: Mapping[str, Tensor] | None = None
    sources: Mapping[str, DatasetInfo] = field(default_factory=dict)
    snapshots: dict[str, Mapping[str, Tensor]] = field(default_factory=dict)
    validate: Callable[[nn.Module], float] | None = None
    measures: dict[str, float] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    model_of: Callable[[Backbone], Model] | None = None

    @staticmethod
    def is_head(name: str) -> bool:
        """Tell whether a parameter name belongs to the target's head."""
        return name.startswith("head.")


class Strategy(Component, ABC):
    """A way of fine-tuning. The engine uses its parts in the order in which they stand here.

    Attributes:
        needs_initial_state: Keep a copy of the state before training for losses and finalise.
        needs_labels: Looks at logits of classes and one class for each example (`Task.labels`);
            combinations with other tasks are skipped.
        needs_unlabelled: Learns from training examples without labels too; combinations with
            variants that leave none are skipped.
        needs_snapshots: Keep the state at the end of each stage, without a `finalise` too.
        claims: What of training it decides, beside what it does by being itself: `weights`,
            `trainable` (what trains, when, in which stages), `rates`, `loss`, `smoothing`,
            `sampler`, `mixing`, `streams`, `update`, `average`, `final` (finalise), `head`,
            `stem`, `blocks`, `adapters`, or a word of its own. Parts of a composite may not claim
            the same thing.
        over_outputs: Its loss and sampler meet the conditions of `heads_together`, whatever trains.
        budget_factor: Target examples drawn, as a multiple of the plan's budget; shown in tables.
            An instance may set its own, by its options.
        sources: References of the data sets that the stages' streams draw from.
        backbones: References of further backbones whose pretrained weights it starts from.
        heads_together: Cells that differ in seed and learning rates alone may train as one problem,
            where nothing but a linear head trains. Say so where loss and sampler look at logits,
            features and targets alone, with torch functions that `torch.func.vmap` knows, and
            know the cell by its options and `train_counts` only.
        against: Names of the verdict's reasons that it is meant to mend, for a class that is named
            without an `Entry`; where one is met, `sftbench explain` proposes it.
    """

    against: ClassVar[tuple[str, ...]] = ()
    needs_initial_state: bool = False
    needs_labels: bool = False
    needs_unlabelled: bool = False
    needs_snapshots: bool = False
    claims: frozenset[str] = frozenset({"trainable"})
    heads_together: bool = False
    over_outputs: bool = False
    budget_factor: float = 1.0
    sources: tuple[str, ...] = ()
    backbones: tuple[str, ...] = ()

    @property
    def adapts(self) -> bool:
        """Whether it changes the structure."""
        return type(self).adapt is not Strategy.adapt

    @property
    def finalises(self) -> bool:
        """Whether it has a last word on the selected model."""
        return type(self).finalise is not Strategy.finalise

    def supports(self, task: str, backbone: BackboneInfo, dataset: DatasetInfo) -> str | None:
        """Return a reason to skip this combination, or None; called when the plan is made."""
        return None

    def weights(self, requested: str) -> str:
        """Return the weights to start from; most keep the cell's."""
        return requested

    def adapt(self, model: Model, ctx: StrategyContext) -> Model:
        """Change the structure before training; called once, under a seeded torch generator.

        New modules go into `model.backbone`, `model.head` or `model.extra[NAME]`.
        """
        return model

    @abstractmethod
    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return the stages of training, at least one; called once, after `adapt`."""

    def finalise(self, model: Model, ctx: StrategyContext) -> Model:
        """Return the model to test as `selected`; called once, after the last stage.

        Args:
            model: Holds the selected weights (best on validation, or last, by protocol).
            ctx: With `snapshots` and `validate`.
        """
        return model
