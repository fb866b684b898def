"""What a model costs and what it is worth: bytes, seconds, images a second, validation."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sftbench.api import (
    BackboneInfo,
    DatasetInfo,
    Model,
    ParamRule,
    RequestError,
    StrategyContext,
)

_TASK = "image-classification"
_WARM_UP = 3
_REPEATS = 51
_BATCHES = 11


@dataclass(frozen=True, slots=True)
class Measured:
    """One model.

    Attributes:
        validation: Primary metric on the validation split.
        saved_bytes: Of its parameters and buffers, written by `torch.save`.
        parameters: How many numbers its parameters are.
        latency_seconds: Median time of one image, warm.
        images_per_second: In batches of the protocol's size, by the median time of one.
    """

    validation: float
    saved_bytes: int
    parameters: int
    latency_seconds: float
    images_per_second: float


def reason_against(name: str, dataset: DatasetInfo, backbone: BackboneInfo) -> str | None:
    """Say why a strategy of this package cannot serve a task, or None."""
    if dataset.task == _TASK and _TASK in backbone.tasks:
        return None
    return f"strategy {name} measures networks of task {_TASK}, not of {dataset.task}"


def check_validation(name: str, ctx: StrategyContext) -> None:
    """Raise RequestError where there is no validation split to measure on."""
    if ctx.protocol.validation_fraction == 0:
        raise RequestError(
            f"strategy {name!r} measures accuracy on validation: it needs a protocol with "
            "validation_fraction above 0"
        )


def slower(scale: float) -> Callable[[str], ParamRule]:
    """Return a stage's rule: every learning rate times `scale`."""
    return lambda _name: ParamRule(scale=scale)


def measure(
    before: Model,
    after: Model,
    ctx: StrategyContext,
    names: tuple[str, str] = ("before", "after"),
) -> tuple[Measured, Measured]:
    """Measure two models where they are, and in turns: what slows a machine slows both.

    Every number goes into the record's measures under its model's name:
    `latency_seconds_before`.
    """
    assert ctx.validate is not None  # noqa: S101 - the engine sets it before the first stage
    size, batch = int(ctx.protocol.image_size), ctx.protocol.batch_size
    images = torch.zeros(batch, 3, size, size, device=ctx.device)
    models = (before, after)
    scores = [ctx.validate(model) for model in models]
    with _as_in_evaluation(models, ctx):
        alone = median_seconds([partial(m, images[:1]) for m in models], _REPEATS, ctx.device)
        whole = median_seconds([partial(m, images) for m in models], _BATCHES, ctx.device)
    first, second = (
        Measured(
            validation=scores[number],
            saved_bytes=saved_bytes(model),
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            latency_seconds=alone[number],
            images_per_second=batch / whole[number],
        )
        for number, model in enumerate(models)
    )
    for found, which in zip((first, second), names, strict=True):
        for name in found.__slots__:
            ctx.measures[f"{name}_{which}"] = float(getattr(found, name))
    return first, second


def saved_bytes(module: nn.Module) -> int:
    """Return the size of a file with a module's state, which is written to memory."""
    # A copy: of a view, `torch.save` writes the whole storage.
    state = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
    file = io.BytesIO()
    torch.save(state, file)
    return file.tell()


def median_seconds(
    runs: Sequence[Callable[[], Tensor]], repeats: int, device: torch.device
) -> list[float]:
    """Return the median time of each call; they take turns, and the first turns do not count."""
    seconds: list[list[float]] = [[] for _ in runs]
    for turn in range(_WARM_UP + repeats):
        for run, found in zip(runs, seconds, strict=True):
            start = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn >= _WARM_UP:
                found.append(time.perf_counter() - start)
    return [statistics.median(found) for found in seconds]


@contextmanager
def _as_in_evaluation(models: Sequence[nn.Module], ctx: StrategyContext) -> Iterator[None]:
    modes = [(module, module.training) for model in models for module in model.modules()]
    mixed: dict[str, Any] = {
        "dtype": torch.bfloat16,
        "enabled": ctx.protocol.precision == "bf16",
    }
    for model in models:
        model.eval()
    try:
        with torch.no_grad(), torch.autocast(ctx.device.type, **mixed):
            yield
    finally:
        for module, training in modes:
            module.training = training


def compared(before: Measured, after: Measured) -> str:
    """Say in words what changed: smaller, faster, better or worse."""
    smaller = 1 - after.saved_bytes / before.saved_bytes
    alone = before.latency_seconds / after.latency_seconds
    batched = after.images_per_second / before.images_per_second
    return (
        f"{round(100 * smaller)} % smaller on disk ({_megabytes(before)} to {_megabytes(after)} "
        f"MB), {alone:.2f} times as fast for one image and {batched:.2f} times in batches, "
        f"validation {before.validation:.3f} to {after.validation:.3f}"
    )


def _megabytes(one: Measured) -> str:
    return f"{one.saved_bytes / 1e6:.3g}"
