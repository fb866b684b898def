"""A short measured probe: real training steps of one model in each memory format and precision.

The steps are those of a cell: the same model, layout, autocast and optimiser. The images are noise,
normalised, the weights random, the labels fixed; the first batch is every batch. Candidates take
turns, so that what else the machine does meets all alike, and the quickest step of each counts.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from sftbench.contracts.backbone import Backbone, Network
from sftbench.contracts.dataset import DatasetInfo
from sftbench.contracts.strategy import Stage, StrategyContext
from sftbench.engine.choices import usual_format
from sftbench.engine.forward import Forward
from sftbench.engine.hardware import precision_problem
from sftbench.engine.optimizers import make_optimizer
from sftbench.engine.runtime import autocast, products_in, release_memory, seeded
from sftbench.models.layout import to_device
from sftbench.models.model import Model
from sftbench.names import cause, one_line
from sftbench.probes import (
    LOSS_TOLERANCE,
    Candidate,
    Compiled,
    MemoryFormat,
    Probe,
    Subject,
)
from sftbench.protocol import Precision, Protocol
from sftbench.records import now

_FORMATS: tuple[MemoryFormat, ...] = ("channels-last", "contiguous")
_NUM_CLASSES = 10
_LABELS = tuple(map(str, range(_NUM_CLASSES)))
# Small enough that no model leaves its course, so that distances of losses are those of rounding.
_RATE = 1e-4
_SECONDS = 1.0  # for the timed steps of one candidate
_STEP_SECONDS = 0.5  # a slower step is measured on a smaller batch
_LONG_SECONDS = 5.0  # one step of so long is enough
_LEAST_BATCH = 4
_MOST_STEPS = 10
# So much slower than the quickest after two steps: no further ones are needed.
_HOPELESS = 1.4
# Copies of the network with gradients and two moments that may be in memory at a time.
_MOST_BYTES = 2 << 30


def measure(
    backbone: Backbone, subject: Subject, device: str, wanted: Sequence[Precision]
) -> Probe:
    """Measure a backbone in both memory formats and in each wanted precision.

    Args:
        backbone: Builds the network; its weights are random.
        subject: What the probe is kept under; its threads are those of this process.
        device: Where to measure.
        wanted: fp32 is measured in any case: losses are compared with its own.

    Raises:
        Exception: What building the network raises.
    """
    with seeded(torch.device(device), 0):
        bench = _Bench.of(backbone, subject, torch.device(device)).shrunk()
        candidates = _candidates(bench, ["fp32", *(one for one in wanted if one != "fp32")])
    release_memory(bench.device)
    return Probe(
        subject=subject,
        usual=bench.usual,
        measured_batch=len(bench.targets),
        candidates=tuple(candidates),
        made_at=now(),
    )


def measure_compiled(
    backbone: Backbone, probe: Probe, device: str, chosen: tuple[MemoryFormat, Precision]
) -> Probe:
    """Measure what compiling one candidate costs and gives, at the full batch.

    Args:
        backbone: Of the probe.
        probe: What is known of it.
        device: Where to measure.
        chosen: Memory format and precision.

    Returns:
        The probe with that added.
    """
    with seeded(torch.device(device), 0):
        bench = _Bench.of(backbone, probe.subject, torch.device(device))
        found = _compiled(bench, *chosen)
    release_memory(bench.device)
    others = [one for one in probe.compiled if (one.memory_format, one.precision) != chosen]
    return probe.model_copy(update={"compiled": (*others, found)})


@dataclass(slots=True)
class _Bench:
    """The network that is measured, on the CPU, and the batch it is measured on."""

    model: Model
    inputs: Tensor
    targets: Tensor
    device: torch.device
    usual: MemoryFormat

    @classmethod
    def of(cls, backbone: Backbone, subject: Subject, device: torch.device) -> _Bench:
        """Build a network with random weights, a linear head, and a batch of noise."""
        network = backbone.build(subject.image_size)
        head = nn.Linear(cast(Network, network).feature_width, _NUM_CLASSES)
        return cls(
            model=Model(network, head),
            inputs=backbone.noise(subject.batch_size, subject.image_size),
            targets=torch.randint(_NUM_CLASSES, (subject.batch_size,)),
            device=device,
            usual=usual_format(network),
        )

    def of_size(self, size: int) -> _Bench:
        """Return the same with the first examples alone."""
        return replace(self, inputs=self.inputs[:size], targets=self.targets[:size])

    def shrunk(self) -> _Bench:
        """Take fewer examples where a step on all would take long: ratios hardly change."""
        small = min(_LEAST_BATCH, len(self.targets))
        trial = _Trial(self.usual, "fp32")
        trial.start(self.of_size(small))
        trial.step()
        size = len(self.targets)
        while trial.times and size >= 2 * small and size * trial.times[0] > small * _STEP_SECONDS:
            size //= 2
        return self.of_size(size)

    def optimizer(self, model: Model) -> torch.optim.Optimizer:
        """Return the optimiser of a cell that trains everything."""
        ctx = StrategyContext(
            info=DatasetInfo(name="noise", class_names=_LABELS, num_train=1, num_test=1),
            protocol=Protocol(),
            train_counts=np.ones(_NUM_CLASSES, dtype=np.int64),
            num_blocks=model.network.num_blocks,
            block_names=model.network.block_names,
            block_of=model.block_of,
            pretrained=False,
            device=self.device,
            generator=lambda _key: torch.Generator(),
        )
        stage = Stage(name="probe", trainable=lambda _name: True, rate=_RATE)
        return make_optimizer(model.named_parameters(), stage, ctx)


class _Run:
    """A model of its own, and what trains it."""

    def __init__(
        self, memory_format: MemoryFormat, precision: Precision, bench: _Bench, *, compiled: bool
    ) -> None:
        channels_last = memory_format == "channels-last" and bench.inputs.ndim == 4
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.precision, self.device = precision, bench.device
        self.model = copy.deepcopy(bench.model).train()
        to_device(self.model, self.device, channels_last=channels_last)
        self.inputs = bench.inputs.to(self.device, memory_format=layout)
        self.targets = bench.targets.to(self.device)
        self.optimizer = bench.optimizer(self.model)
        self.forward = Forward(precision, compiled=compiled, required=True)

    def step(self) -> tuple[float, float]:
        """Run one step, as the engine does it, and return its seconds and its loss."""
        with products_in(self.device, self.precision):
            start = time.perf_counter()
            with autocast(self.device, self.precision):
                outputs, _ = self.forward(self.model, self.inputs)
                loss = nn.functional.cross_entropy(outputs, self.targets)
            torch.autograd.backward(loss)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            return time.perf_counter() - start, float(loss.detach())


@dataclass(slots=True)
class _Trial:
    """One candidate: what its steps gave, or why it has none."""

    memory_format: MemoryFormat
    precision: Precision
    compiled: bool = False
    problem: str = ""
    warm_up: float = 0.0
    times: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    run: _Run | None = None

    def start(self, bench: _Bench) -> None:
        """Bring the model to the device and run a first step, which counts as warming up."""
        with self._guarded():
            self.run = _Run(self.memory_format, self.precision, bench, compiled=self.compiled)
            self.warm_up, loss = self.run.step()
            self.losses.append(loss)

    def step(self) -> None:
        """Run one further step."""
        if self.run is not None:
            with self._guarded():
                seconds, loss = self.run.step()
                self.times.append(seconds)
                self.losses.append(loss)

    def needs_more(self, best: float) -> bool:
        """Tell whether another step could change anything; `best` is the quickest one of all."""
        if self.problem or sum(self.times) >= _LONG_SECONDS:
            return False
        if len(self.times) < 2:
            return True
        return sum(self.times) < _SECONDS and min(self.times) <= _HOPELESS * best

    def compare(self, reference: Sequence[float]) -> float | None:
        """Note a problem where the losses are not those of the reference; return the distance."""
        distance = _distance(self.losses, reference)
        if not self.problem and distance is None:
            self.problem = "its loss is not finite"
        elif not self.problem and distance is not None and distance > LOSS_TOLERANCE:
            self.problem = f"its loss is {distance:.0%} away from fp32's"
        return distance

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Make of whatever is raised inside a problem of this candidate alone."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a plugin's network may raise anything
            self.problem, self.run = _failure(error), None


def _candidates(bench: _Bench, precisions: Sequence[Precision]) -> list[Candidate]:
    """Measure every memory format in every precision; fp32 in the usual format comes first."""
    formats = sorted(_FORMATS, key=lambda one: one != bench.usual)
    trials = [_Trial(one, precision) for precision in precisions for one in formats]
    for trial in trials:
        trial.problem = precision_problem(str(bench.device), trial.precision) or ""
    possible = [trial for trial in trials if not trial.problem]
    size = 4 * sum(p.numel() * p.element_size() for p in bench.model.parameters())
    together = size * len(possible) <= _MOST_BYTES
    for group in [possible] if together else [[trial] for trial in possible]:
        _take_turns(group, bench)
    reference = trials[0].losses
    return [
        Candidate(
            memory_format=trial.memory_format,
            precision=trial.precision,
            loss_difference=trial.compare(reference) if trial.losses else None,
            seconds=min(trial.times, default=None),
            steps=len(trial.times),
            problem=trial.problem,
        )
        for trial in trials
    ]


def _take_turns(group: Sequence[_Trial], bench: _Bench) -> None:
    """Warm each up, then time steps of each in turn until each had its second."""
    for trial in group:
        trial.start(bench)
    for _ in range(_MOST_STEPS):
        best = min((time for trial in group for time in trial.times), default=math.inf)
        for trial in [trial for trial in group if trial.needs_more(best)]:
            trial.step()
    for trial in group:
        trial.run = None


def _compiled(bench: _Bench, memory_format: MemoryFormat, precision: Precision) -> Compiled:
    """Time the first compiled step, then plain and compiled ones in turn."""
    plain = _Trial(memory_format, precision)
    quick = _Trial(memory_format, precision, compiled=True)
    plain.start(bench)
    quick.start(bench)
    for _ in range(_MOST_STEPS):
        if len(plain.times) < 3 or sum(plain.times) < 2 * _SECONDS:
            plain.step()
            quick.step()
    quick.compare(plain.losses)
    problem = plain.problem or quick.problem
    if problem:
        return Compiled(memory_format=memory_format, precision=precision, problem=problem)
    return Compiled(
        memory_format=memory_format,
        precision=precision,
        compile_seconds=max(0.0, quick.warm_up - min(quick.times)),
        eager_seconds=min(plain.times),
        compiled_seconds=min(quick.times),
    )


def _distance(losses: Sequence[float], reference: Sequence[float]) -> float | None:
    """Return the largest distance of losses from fp32's, as a share of the first of those."""
    pairs = list(zip(losses, reference, strict=False))
    if not pairs or not all(math.isfinite(loss) for pair in pairs for loss in pair):
        return None
    return max(abs(one - other) for one, other in pairs) / max(abs(reference[0]), 1e-6)


def _failure(error: Exception) -> str:
    if isinstance(error, torch.OutOfMemoryError):
        return "out of memory"
    return one_line(f"does not run: {cause(error)}", 200)
