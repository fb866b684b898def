"""Several strategies as one: each brings what it changes, and no two may change the same thing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sftbench.api import (
    BackboneInfo,
    Component,
    Create,
    DatasetInfo,
    Options,
    ParamRule,
    RequestError,
    Stage,
    StepOutput,
    Strategy,
    StrategyContext,
    everything,
)

if TYPE_CHECKING:
    from torch import Tensor

    from sftbench.api import Model

T = TypeVar("T")
SIGN = "+"
_SKELETON = "trainable"
# What a part lays over every stage; the rest of a stage belongs to who says what trains.
_OVER = ("rule", "rate", "schedule", "sampler", "loss", "label_smoothing", "mixup", "cutmix",
         "update", "eval_model")  # fmt: skip


class CompositeOptions(Options):
    """`parts`: references of strategies, two or more; none: the words of the name.

    `settings` holds options of the parts by name: `{"lora": {"rank": "4"}}`.
    """

    parts: tuple[str, ...] = ()
    settings: dict[str, dict[str, Any]] = {}


class Composite(Strategy):
    """Train with the differences of several strategies at once.

    At most one part says what trains and in which stages; losses, samplers, rates, averages and
    the like of the others are laid over each of its stages, penalties are added up, and changes of
    structure follow each other in the order of the parts. Two parts that claim one thing (two
    losses, two samplers) are refused when the plan is made (`Strategy.claims`).
    """

    summary = "several strategies at once"
    options_model = CompositeOptions
    options: CompositeOptions

    def bind(self, create: Create) -> None:
        """Build the parts.

        Raises:
            RequestError: Fewer than two, one is unknown, or two claim the same thing.
        """
        names = self.options.parts or tuple(self.name.split(SIGN))
        if len(names) < 2:
            raise RequestError(f"strategy {self.name!r} needs two parts or more, not {len(names)}")
        known = {name.partition(":")[0] for name in names}
        for name in self.options.settings:
            if name not in known:
                raise RequestError(
                    f"strategy {self.name!r} has settings of {name!r}, which is none of its parts: "
                    f"{', '.join(names)}"
                )
        settings = self.options.settings
        self.parts = tuple(
            cast(Strategy, create("strategy", name, settings.get(name.partition(":")[0])))
            for name in names
        )
        self._check()
        self.claims = frozenset[str]().union(*(part.claims for part in self.parts))
        self.needs_initial_state = any(part.needs_initial_state for part in self.parts)
        self.needs_snapshots = any(part.needs_snapshots for part in self.parts)
        self.needs_unlabelled = any(part.needs_unlabelled for part in self.parts)
        self.needs_labels = any(part.needs_labels for part in self.parts)
        self.heads_together = any(part.heads_together for part in self.parts) and all(
            part.heads_together or part.over_outputs for part in self.parts
        )
        self.budget_factor = max(part.budget_factor for part in self.parts)
        # Raised with that of any part.
        self.algorithm_version = 1 + sum(part.algorithm_version - 1 for part in self.parts)
        self.sources = tuple(name for part in self.parts for name in part.sources)
        self.backbones = tuple(name for part in self.parts for name in part.backbones)

    def _check(self) -> None:
        claimed = Counter(claim for part in self.parts for claim in part.claims)
        for claim, count in sorted(claimed.items()):
            if count > 1:
                rivals = [part.reference for part in self.parts if claim in part.claims]
                raise RequestError(
                    f"strategy {self.name!r}: {' and '.join(rivals)} both decide the "
                    f"{claim.replace('trainable', 'parameters that train')}; leave one out"
                )

    @property
    def adapts(self) -> bool:
        """Whether a part changes the structure."""
        return any(part.adapts for part in self.parts)

    @property
    def finalises(self) -> bool:
        """Whether a part has a last word."""
        return any(part.finalises for part in self.parts)

    def supports(self, task: str, backbone: BackboneInfo, dataset: DatasetInfo) -> str | None:
        """Return the first reason of a part."""
        reasons = (part.supports(task, backbone, dataset) for part in self.parts)
        return next((reason for reason in reasons if reason), None)

    def weights(self, requested: str) -> str:
        """Return what the parts make of it, one after the other."""
        for part in self.parts:
            requested = part.weights(requested)
        return requested

    def adapt(self, model: Model, ctx: StrategyContext) -> Model:
        """Let every part change the structure."""
        for part in self.parts:
            model = part.adapt(model, ctx)
        return model

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return the stages of the part that says what trains, with the others laid over them."""
        leader = next((part for part in self.parts if _SKELETON in part.claims), self.parts[0])
        found = leader.stages(ctx)
        for part in self.parts:
            if part is leader:
                continue
            [over, *more] = part.stages(ctx)
            if more:
                raise RequestError(
                    f"strategy {self.name!r}: {part.reference} has stages of its own; it cannot be "
                    f"laid over {leader.reference}"
                )
            found = [_laid_over(stage, over, self.name) for stage in found]
        return found

    def finalise(self, model: Model, ctx: StrategyContext) -> Model:
        """Let every part have the last word, in their order."""
        for part in self.parts:
            model = part.finalise(model, ctx)
        return model


def _laid_over(stage: Stage, over: Stage, whole: str) -> Stage:
    """Return a stage with what another one sets besides."""
    changes: dict[str, Any] = {}
    for name in _OVER:
        new, old = getattr(over, name), getattr(stage, name)
        if new is None:
            continue
        if old is not None and name == "rule":
            new = _both_rules(old, new)
        elif old is not None:
            raise RequestError(f"strategy {whole!r}: two of its parts decide the {name} of a stage")
        changes[name] = new
    if over.trainable is not everything:
        raise RequestError(f"strategy {whole!r}: two of its parts say what trains")
    changes["streams"] = (*stage.streams, *over.streams)
    changes["loss_passes"] = stage.loss_passes + over.loss_passes
    changes["penalty"] = _sum(_given(stage.penalty, over.penalty))
    changes["prepare"] = _chain(_given(stage.prepare, over.prepare))
    changes["after_step"] = _chain(_given(stage.after_step, over.after_step))
    return replace(stage, **changes)


def _given(*parts: T | None) -> list[T]:
    return [part for part in parts if part is not None]


def _sum(
    parts: Sequence[Callable[[StepOutput], Tensor]],
) -> Callable[[StepOutput], Tensor] | None:
    if len(parts) < 2:
        return parts[0] if parts else None

    def total(step: StepOutput) -> Tensor:
        first, second = (part(step) for part in parts)
        return first + second

    return total


def _chain(parts: Sequence[Callable[..., None]]) -> Callable[..., None] | None:
    if len(parts) < 2:
        return parts[0] if parts else None

    def every(*given: Any) -> None:
        for part in parts:
            part(*given)

    return every


def _both_rules(
    first: Callable[[str], ParamRule], second: Callable[[str], ParamRule]
) -> Callable[[str], ParamRule]:
    """Multiply the rates; a decay that one of them sets holds."""

    def both(name: str) -> ParamRule:
        one, two = first(name), second(name)
        decay = one.weight_decay if two.weight_decay is None else two.weight_decay
        return ParamRule(scale=one.scale * two.scale, weight_decay=decay)

    return both


class _Composites:
    """Every name with a sign between its parts."""

    def names(self) -> Iterable[str]:
        """Return none: there is no end of them."""
        return ()

    def resolve(self, name: str) -> type[Component] | None:
        """Return the class of a name like `head-only+balanced-softmax`."""
        words = name.split(SIGN)
        if len(words) < 2 or not all(words):
            return None
        return type("Composite", (Composite,), {"name": name, "__doc__": Composite.__doc__})


family = _Composites()
