"""How the passes of one cell are run here: memory format, precision, compiled or not, and why."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from sftbench.contracts.execution import Job
from sftbench.engine.forward import Forward
from sftbench.engine.hardware import compile_problem, device_name
from sftbench.models.layout import prefers_channels_last
from sftbench.plan import Cell
from sftbench.probes import (
    MemoryFormat,
    Probe,
    Subject,
    choose_compile,
    choose_format,
    kept_probe,
)
from sftbench.protocol import Precision


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """What was chosen for one cell. None of it is part of the cell's request but the precision.

    Attributes:
        memory_format: Of images and convolutions.
        precision: The protocol's.
        compiled: Whether the network is compiled before it trains.
        required: Whether that was asked for, not chosen.
        why_format: Why this memory format.
        why_compiled: Why it is compiled, or not.
    """

    memory_format: MemoryFormat
    precision: Precision
    compiled: bool
    required: bool
    why_format: str
    why_compiled: str

    @property
    def channels_last(self) -> bool:
        """Whether the channels of images lie next to each other."""
        return self.memory_format == "channels-last"

    def forward(self) -> Forward:
        """Return what runs the training passes of one cell."""
        return Forward(self.precision, compiled=self.compiled, required=self.required)

    def told(self, forward: Forward) -> dict[str, object]:
        """Return what the record says of it."""
        return {
            "memory_format": self.memory_format,
            "precision": self.precision,
            "compile": forward.compiled,
            "why": {
                "memory_format": self.why_format,
                "compile": forward.problem or self.why_compiled,
            },
        }


def subject_of(cell: Cell, device: torch.device) -> Subject:
    """Return what a probe for a cell in this process is kept under."""
    return Subject(
        backbone=cell.backbone,
        version=cell.versions.get("backbone", 1),
        image_size=int(cell.protocol.image_size),
        batch_size=cell.protocol.batch_size,
        device=device_name(str(device)),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
    )


def usual_format(network: nn.Module) -> MemoryFormat:
    """Return the memory format by a rule of thumb."""
    return "channels-last" if prefers_channels_last(network) else "contiguous"


def choose_engine(
    job: Job, subject: Subject, network: nn.Module, precision: Precision
) -> EngineChoice:
    """Choose for one cell: what was asked for, what a probe in the cache says, or the usual.

    A deterministic job looks at no probe: what is cached must not change bits.
    """
    probe = None if job.deterministic else kept_probe(subject)
    memory_format, why_format = _format(job, probe, network, precision)
    compiled, why_compiled = _compile(job, probe, subject, memory_format, precision)
    return EngineChoice(
        memory_format=memory_format,
        precision=precision,
        compiled=compiled,
        required=job.compile == "on",
        why_format=why_format,
        why_compiled=why_compiled,
    )


def _format(
    job: Job, probe: Probe | None, network: nn.Module, precision: Precision
) -> tuple[MemoryFormat, str]:
    if job.memory_format != "auto":
        return job.memory_format, "asked for"
    if probe is None or not probe.covers((precision,)):
        return usual_format(network), "the rule of thumb"
    return choose_format(probe, precision)


def _compile(
    job: Job,
    probe: Probe | None,
    subject: Subject,
    memory_format: MemoryFormat,
    precision: Precision,
) -> tuple[bool, str]:
    if job.compile != "auto":
        return job.compile == "on", "asked for"
    if job.deterministic:
        return False, "a deterministic run compiles only where that is asked for"
    steps = job.steps_ahead.get(subject.shape, 0)
    compiled, why = choose_compile(probe, memory_format, precision, steps)
    # A cache may have been filled where there was a compiler.
    problem = compile_problem(job.device) if compiled else None
    return (False, problem) if problem else (compiled, why)
