"""Rules for strategies: a tiny cell runs through the engine while its stages are watched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from sftbench.catalog import Catalog
from sftbench.cell import Kept
from sftbench.contracts.strategy import Stage, Strategy, StrategyContext
from sftbench.errors import RequestError
from sftbench.models.model import Model
from sftbench.names import shown
from sftbench.records import Record
from sftbench.testing.findings import BlockedError, Once, UncheckedError
from sftbench.testing.tiny import TinyBackbone, TinyImages, run_tiny

_SHARE_TOLERANCE = 1e-6
_WEIGHTS = ("pretrained", "none")


@dataclass(slots=True)
class Watched:
    """What was seen of a strategy while its cell ran.

    Attributes:
        called: Whether `stages` returned at all.
        stages: What it returned.
        num_trained: Parameters that each stage trains, by its place.
        moved: Frozen tensors that changed, with the stage.
    """

    called: bool = False
    stages: object = None
    num_trained: dict[int, int] = field(default_factory=dict)
    moved: list[str] = field(default_factory=list)


def watched(cls: type[Strategy]) -> tuple[type[Strategy], Watched]:
    """Return a subclass of a strategy whose stages are watched, and what it will have seen."""
    seen = Watched()

    def stages(self: Strategy, ctx: StrategyContext) -> list[Stage]:
        found = cls.stages(self, ctx)
        seen.called, seen.stages = True, found
        return [_watch(stage, number, seen) for number, stage in enumerate(found)]

    return type(cls.__name__, (cls,), {"stages": stages}), seen


def _watch(stage: Stage, number: int, seen: Watched) -> Stage:
    kept: dict[str, Tensor] = {}

    def prepare(model: Model, ctx: StrategyContext) -> None:
        if stage.prepare is not None:
            stage.prepare(model, ctx)
        trained = [name for name, _ in model.named_parameters() if stage.trainable(name)]
        seen.num_trained[number] = len(trained)
        frozen = frozen_tensors(model, stage.trainable)
        kept.update({name: tensor.detach().clone() for name, tensor in frozen.items()})

    def after_step(model: Model, step: int) -> None:
        if stage.after_step is not None:
            stage.after_step(model, step)
        now = frozen_tensors(model, stage.trainable)
        moved = [name for name in kept if name not in now or not _same_bits(kept[name], now[name])]
        if moved:
            seen.moved.append(f"stage {stage.name!r} freezes {moved[0]}, and step {step} moved it")

    return replace(stage, prepare=prepare, after_step=after_step)


def frozen_tensors(model: nn.Module, trainable: Callable[[str], bool]) -> Mapping[str, Tensor]:
    """Return the parameters that do not train, and the buffers of modules without one that does."""
    tensors = {
        name: parameter for name, parameter in model.named_parameters() if not trainable(name)
    }
    for prefix, module in model.named_modules():
        names = [name for name, _ in module.named_parameters(prefix=prefix)]
        if names and not any(trainable(name) for name in names):
            tensors.update(module.named_buffers(prefix=prefix, recurse=False))
    return tensors


def _same_bits(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and bool(torch.equal(first, second.detach()))


class StrategySubject:
    """A strategy and its tiny cell.

    Args:
        strategy: The component; its cell has its options.
        base: Where its further data sets are, or None.
    """

    def __init__(self, strategy: Strategy, base: Catalog | None) -> None:
        self.strategy = strategy
        self._base = base
        self._run = Once(self._watched_run)

    def watched_run(self) -> tuple[Record, Kept | None, Watched]:
        """Return record, predictions and what was seen of the first run."""
        return self._run()

    def stages(self) -> list[Stage]:
        """Return the stages; only where they are stages."""
        if there_are_stages(self) is not None:
            raise BlockedError
        return cast("list[Stage]", self.watched_run()[2].stages)

    def was_called(self) -> bool:
        """Tell whether the engine came to ask for stages."""
        return self.watched_run()[2].called

    def run(self, cls: type[Strategy]) -> tuple[Record, Kept | None]:
        """Run the tiny cell with a class in the strategy's place."""
        reason = self.unsupported()
        if isinstance(reason, str):
            raise UncheckedError(f"it does not support the tiny cell: {reason}")
        settings = self.strategy.options.model_dump(mode="json")
        # Images without labels are those that a variant left out.
        variant = "subset:0.5" if self.strategy.needs_unlabelled else "balanced"
        return run_tiny(cls, base=self._base, settings=settings, variant=variant)

    def unsupported(self) -> object:
        """Return what `supports` says of the tiny cell."""
        info = TinyImages().info()
        return self.strategy.supports(info.task, TinyBackbone().info(), info)

    def _watched_run(self) -> tuple[Record, Kept | None, Watched]:
        cls, seen = watched(type(self.strategy))
        record, kept = self.run(cls)
        return record, kept, seen


def supports_gives_a_reason_or_none(subject: StrategySubject) -> str | None:
    """A combination that is skipped stands in the table with its reason."""
    answer = subject.unsupported()
    if answer is None or (isinstance(answer, str) and answer.strip()):
        return None
    return f"supports() returned {shown(answer)}; return a reason, or None"


def weights_are_known(subject: StrategySubject) -> str | None:
    """The weights to start from are ones that there are."""
    for requested in _WEIGHTS:
        answer = subject.strategy.weights(requested)
        if answer not in _WEIGHTS:
            known = " or ".join(_WEIGHTS)
            return f"weights({requested!r}) returned {shown(answer)}; it may be {known}"
    return None


def there_are_stages(subject: StrategySubject) -> str | None:
    """`stages` returns a list of at least one Stage."""
    seen = subject.watched_run()[2]
    if not seen.called:
        raise BlockedError  # the cell ended before; another rule says how
    if not isinstance(seen.stages, list | tuple) or not seen.stages:
        return f"stages() returned {shown(seen.stages)}; return a list of at least one Stage"
    strange = [stage for stage in seen.stages if not isinstance(stage, Stage)]
    return f"stages() holds {shown(strange[0])}, which is no Stage" if strange else None


def stage_names_differ(subject: StrategySubject) -> str | None:
    """History, snapshots and seeds go by the names of stages."""
    names = [stage.name for stage in subject.stages()]
    return None if len(set(names)) == len(names) else f"two stages have one name: {names}"


def shares_add_up_to_the_budget_factor(subject: StrategySubject) -> str | None:
    """Every strategy has the plan's budget, or says how much more it takes."""
    shares = [stage.share for stage in subject.stages()]
    if min(shares) <= 0:
        return f"a share is not above 0: {shares}"
    factor = subject.strategy.budget_factor
    if abs(sum(shares) - factor) > _SHARE_TOLERANCE:
        return f"shares {shares} add up to {sum(shares):g}; budget_factor is {factor:g}"
    return None


def every_stage_trains_something(subject: StrategySubject) -> str | None:
    """A stage without a trainable parameter would spend budget on nothing."""
    stages = subject.stages()
    for number, count in subject.watched_run()[2].num_trained.items():
        if count == 0:
            return f"no parameter's name satisfies `trainable` of stage {stages[number].name!r}"
    return None


_ABOUT_STAGES = (
    there_are_stages,
    stage_names_differ,
    shares_add_up_to_the_budget_factor,
    every_stage_trains_something,
)


def a_tiny_cell_ends_well(subject: StrategySubject) -> str | None:
    """A cell of a few steps runs through the engine, from request to record."""
    record, _, _ = subject.watched_run()
    if record.status == "ok":
        return None
    if any(_is_broken(rule, subject) for rule in _ABOUT_STAGES):
        raise BlockedError
    error = record.error
    if error is not None and error.type == RequestError.__name__ and not subject.was_called():
        # Refused in `adapt`: there is another network that it serves.
        raise UncheckedError(f"it does not support the tiny cell: {error.message}")
    cause = "" if error is None else f": {error.type}: {error.message}"
    return f"the cell ended as {record.status}{cause}"


def frozen_tensors_stay_bit_identical(subject: StrategySubject) -> str | None:
    """What a stage does not train keeps its bits, buffers too."""
    moved = subject.watched_run()[2].moved
    return moved[0] if moved else None


def a_second_run_gives_the_same(subject: StrategySubject) -> str | None:
    """One seed gives one result: chance comes from torch's seeded generator or the context's."""
    record, first, _ = subject.watched_run()
    if record.status != "ok" or first is None:
        raise BlockedError
    _, second = subject.run(type(subject.strategy))
    for (split, which), kept in first.items():
        other = None if second is None else second.get((split, which))
        if other is None or not np.array_equal(kept.outputs, other.outputs):
            return f"outputs on {split} ({which}) differ; draw from ctx.generator(...) only"
    return None


STRATEGY = (
    supports_gives_a_reason_or_none,
    weights_are_known,
    *_ABOUT_STAGES,
    a_tiny_cell_ends_well,
    frozen_tensors_stay_bit_identical,
    a_second_run_gives_the_same,
)


def _is_broken(rule: Callable[[StrategySubject], str | None], subject: StrategySubject) -> bool:
    try:
        return rule(subject) is not None
    except BlockedError:
        return False
