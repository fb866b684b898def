"""What a short measured probe of a model on this machine found, and what follows from it.

Documents and choices alone: `sftbench.engine.probe` measures. A probe is kept in the cache under
everything that its times depend on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from sftbench import cache
from sftbench.errors import RecordError
from sftbench.files import read_plain, validated, write_json
from sftbench.plan import digest
from sftbench.protocol import Precision

MemoryFormat = Literal["channels-last", "contiguous"]

# Another format or precision must be this much faster than the usual one: noise flips no choice.
LEAST_GAIN: Final = 0.08
# Of the first fp32 loss: how far a loss may be from fp32's at any step of the probe. Rounding to
# bf16 gives 0.001 to 0.04 (batch norm over few images is the worst); a precision that loses
# gradients, or a kernel that is wrong, is off by more within a few steps.
LOSS_TOLERANCE: Final = 0.1
# A compiled model must pay its compiling back this many times over: the steps ahead are a guess.
_PAY_BACK: Final = 2.0
_FILE: Final = "probe.json"
_MAX_BYTES: Final = 64 << 10
_ORDER: Final[tuple[Precision, ...]] = ("fp32", "tf32", "bf16")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Subject(_Frozen):
    """What is measured, and on what: everything that the times depend on.

    Attributes:
        backbone: Its reference.
        version: Its algorithm version.
        image_size: Pixels.
        batch_size: Examples in a step.
        device: Name of the processor or accelerator.
        threads: Of the CPU.
        torch: Its version.
    """

    backbone: str
    version: int
    image_size: int
    batch_size: int
    device: str
    threads: int
    torch: str

    @property
    def key(self) -> str:
        """Its name in the cache."""
        return digest(self.model_dump(mode="json"))

    @property
    def shape(self) -> str:
        """What a worker of any machine knows it by: `resnet50@1 224 px, batch 32`."""
        return f"{self.backbone}@{self.version} {self.image_size} px, batch {self.batch_size}"


class Candidate(_Frozen):
    """One memory format in one precision.

    Attributes:
        seconds: The quickest step: forward, backward, optimiser. None where it was not tried.
        steps: How many were timed.
        loss_difference: The largest distance of its losses from fp32's, as a share of the first
            one; None where a loss is not finite, or nothing was measured.
        problem: Why it cannot be chosen, or empty.
    """

    memory_format: MemoryFormat
    precision: Precision
    seconds: float | None = Field(None, gt=0, le=1e6)
    steps: int = Field(0, ge=0, le=10_000)
    loss_difference: float | None = Field(None, ge=0)
    problem: str = Field("", max_length=400)

    @property
    def title(self) -> str:
        """For people: `channels-last bf16`."""
        return f"{self.memory_format} {self.precision}"


class Compiled(_Frozen):
    """What compiling one candidate costs and gives, at the full batch.

    Attributes:
        compile_seconds: What the first step took beyond a later one.
        eager_seconds: Of a step.
        compiled_seconds: Of a step.
        problem: Why it does not compile, or empty.
    """

    memory_format: MemoryFormat
    precision: Precision
    compile_seconds: float = Field(0.0, ge=0, le=1e6)
    eager_seconds: float = Field(0.0, ge=0, le=1e6)
    compiled_seconds: float = Field(0.0, ge=0, le=1e6)
    problem: str = Field("", max_length=400)

    @property
    def steps_to_pay_back(self) -> int | None:
        """Steps after which compiling has cost nothing; None where it never does."""
        gain = self.eager_seconds - self.compiled_seconds
        # What noise may be is no gain.
        if self.problem or gain <= 0.02 * self.eager_seconds:
            return None
        return int(self.compile_seconds / gain) + 1


class Probe(_Frozen):
    """What was measured.

    Attributes:
        subject: Of what.
        usual: The memory format by the rule of thumb.
        measured_batch: Examples in the measured steps: fewer than the batch where steps are slow.
        candidates: In the order in which they were tried; fp32 in the usual format first.
        compiled: Where compiling was measured.
        made_at: When.
    """

    version: Literal[1] = 1
    subject: Subject
    usual: MemoryFormat
    measured_batch: int = Field(ge=1, le=65_536)
    candidates: tuple[Candidate, ...] = Field(max_length=16)
    compiled: tuple[Compiled, ...] = Field((), max_length=16)
    made_at: str

    def find(self, memory_format: MemoryFormat, precision: Precision) -> Candidate | None:
        """Return a candidate that was tried, whatever came of it."""
        for one in self.candidates:
            if (one.memory_format, one.precision) == (memory_format, precision):
                return one
        return None

    def covers(self, precisions: tuple[Precision, ...]) -> bool:
        """Tell whether every one of some precisions was tried."""
        return set(precisions) <= {one.precision for one in self.candidates}

    def compiling(self, memory_format: MemoryFormat, precision: Precision) -> Compiled | None:
        """Return what compiling a candidate gave, where it was measured."""
        for one in self.compiled:
            if (one.memory_format, one.precision) == (memory_format, precision):
                return one
        return None


def kept_probe(subject: Subject) -> Probe | None:
    """Return the probe of a subject in the cache; a damaged one counts as none."""
    folder = cache.find("probes", subject.key)
    if folder is None:
        return None
    try:
        found = validated(Probe, read_plain(folder / _FILE, _MAX_BYTES))
    except RecordError:  # another version's
        return None
    return found if found.subject == subject else None


def keep_probe(probe: Probe) -> None:
    """Put a probe into the cache, in place of an earlier one.

    Raises:
        CacheError: The cache cannot be written.
    """
    subject = probe.subject

    def build(folder: Path) -> str:
        write_json(folder / _FILE, probe, _MAX_BYTES)
        return f"{subject.shape}, {subject.device}, {subject.threads} threads"

    cache.fill("probes", subject.key, build, replace=True)


def choose_format(probe: Probe, precision: Precision) -> tuple[MemoryFormat, str]:
    """Return the memory format for a precision, and why: the usual one unless another is faster."""
    usual = probe.find(probe.usual, precision)
    if usual is None:
        return probe.usual, "the rule of thumb: not measured in this precision"
    others = [
        one
        for one in probe.candidates
        if one.precision == precision and one != usual and _is_usable(one)
    ]
    best = min(others, key=_seconds, default=None)
    if best is None:
        return probe.usual, "the rule of thumb: nothing else could be measured"
    if not _is_usable(usual):
        return best.memory_format, f"measured: {usual.memory_format} {usual.problem}"
    ratio = _seconds(usual) / _seconds(best)
    if _is_faster(best, usual):
        why = f"measured: {ratio:.2f} times as fast as {usual.memory_format}"
        return best.memory_format, why
    return probe.usual, f"measured: {1 / ratio:.2f} times as fast as {best.memory_format}"


def choose_precision(probe: Probe) -> tuple[Precision, str]:
    """Return the precision for `auto`, and why.

    It is fp32 unless another one, in its own best format, is clearly faster with losses near those
    of fp32; the nearer one unless the next is clearly faster again.
    """
    best = {
        one.precision: one
        for precision in _ORDER
        if (one := probe.find(choose_format(probe, precision)[0], precision)) and _is_usable(one)
    }
    if "fp32" not in best:
        return "fp32", "fp32 could not be measured"
    chosen = best["fp32"]
    for precision in _ORDER[1:]:
        if precision in best and _is_faster(best[precision], chosen):
            chosen = best[precision]
    if chosen.precision != "fp32":
        ratio = _seconds(best["fp32"]) / _seconds(chosen)
        return chosen.precision, f"{ratio:.2f} times as fast as fp32, with losses near its own"
    return "fp32", _why_fp32(probe, best)


def choose_compile(
    probe: Probe | None, memory_format: MemoryFormat, precision: Precision, steps_ahead: int
) -> tuple[bool, str]:
    """Tell whether compiling pays for a worker that has so many full steps ahead, and why."""
    found = probe.compiling(memory_format, precision) if probe else None
    if found is None:
        return False, "whether it pays was not measured"
    if found.problem:
        return False, found.problem
    needed = found.steps_to_pay_back
    if needed is None:
        return False, "measured: no faster"
    ahead = f"pays back after {needed:,} steps; about {steps_ahead:,} are ahead"
    return steps_ahead >= _PAY_BACK * needed, ahead


def _why_fp32(probe: Probe, best: dict[Precision, Candidate]) -> str:
    slower = [
        f"{precision} is {_seconds(best['fp32']) / _seconds(one):.2f} times as fast"
        for precision, one in best.items()
        if precision != "fp32"
    ]
    problems = {
        one.precision: f"{one.precision}: {one.problem}"
        for one in probe.candidates
        if one.problem and one.precision not in best
    }
    return "; ".join([*slower, *problems.values()]) or "nothing else was tried"


def _is_usable(one: Candidate) -> bool:
    return one.seconds is not None and not one.problem


def _is_faster(one: Candidate, other: Candidate) -> bool:
    return _seconds(one) < (1 - LEAST_GAIN) * _seconds(other)


def _seconds(one: Candidate) -> float:
    return float("inf") if one.seconds is None else one.seconds
