"""Before cells are made, and before they run: which precision is fastest here, and what pays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import cast

import torch

from sftbench.catalog import Catalog
from sftbench.contracts.backbone import Backbone
from sftbench.contracts.dataset import Dataset
from sftbench.contracts.execution import Job
from sftbench.engine.choices import subject_of
from sftbench.engine.hardware import compile_problem, device_name, precision_problem
from sftbench.engine.probe import measure, measure_compiled
from sftbench.engine.runtime import prepare_process, settings_restored, usual_precision
from sftbench.errors import RequestError, UnavailableError, about
from sftbench.executors.pool import num_threads, num_workers
from sftbench.names import cause, one_line
from sftbench.plan import Cell
from sftbench.preparation import Told
from sftbench.probes import (
    MemoryFormat,
    Probe,
    Subject,
    choose_format,
    choose_precision,
    keep_probe,
    kept_probe,
)
from sftbench.protocol import Precision

# A probe takes some 15 steps for each precision; where fewer steps than these follow, the rule of
# thumb is cheaper whatever it would find.
_STEPS_WORTH_A_PROBE = 1_000
# Measuring what compiling gives may take two minutes.
_SECONDS_WORTH_COMPILING = 7_200.0


class ProbeError(UnavailableError):
    """A backbone's training steps cannot be timed here."""


@dataclass(slots=True)
class Precisions:
    """What `default` and `auto` mean on the device of a run, told once for each backbone.

    `auto` depends on the machine alone, not on how many cells are due or how many workers were
    asked for: the same plan has the same cells, whoever asks.

    Args:
        job: Its first device is measured; a deterministic one is never.
        told: Is told what is measured and chosen.
    """

    job: Job
    told: Told
    _known: dict[tuple[str, int, int], Precision] = field(default_factory=dict)

    def check(self, precision: Precision) -> None:
        """Refuse a precision that the device has no hardware for.

        Raises:
            RequestError: TF32 anywhere but on a GPU that has it.
        """
        problem = precision_problem(self.job.device, precision) if precision == "tf32" else None
        if problem:
            with about("changes", "precision"):
                raise RequestError(f"precision 'tf32': {problem}; use fp32, bf16 or auto")

    def auto(self, backbone: Backbone, image_size: int, batch_size: int) -> Precision:
        """Return the fastest precision here whose losses stay near those of fp32.

        Where it cannot be measured, it is the usual one, and that is said.
        """
        key = (backbone.reference, image_size, batch_size)
        if key not in self._known:
            self._known[key] = self._measured(backbone, image_size, batch_size)
        return self._known[key]

    def _measured(self, backbone: Backbone, image_size: int, batch_size: int) -> Precision:
        usual = usual_precision(self.job.device)
        where = f"precision of {backbone.reference} at {image_size} px"
        if self.job.deterministic:
            self.told.say(f"{where}: {usual}, as usual: deterministic runs measure nothing")
            return usual
        threads = usual_threads(replace(self.job, jobs=None))
        subject = make_subject(backbone, image_size, batch_size, self.job.device, threads)
        probe = find_or_measure(
            backbone, subject, self.job.device, possible(self.job.device), self.told
        )
        if probe is None:
            return usual
        precision, why = choose_precision(probe)
        self.told.say(f"{where}: {precision} ({why})")
        return precision


def possible(device: str) -> tuple[Precision, ...]:
    """Return the precisions that are tried on a device; some may turn out to have no hardware."""
    return ("fp32", "tf32", "bf16") if device.startswith("cuda") else ("fp32", "bf16")


def usual_threads(job: Job, num_cells: int | None = None) -> int:
    """Return the CPU threads of each worker of a job."""
    count = num_workers(job)
    return num_threads(job, count if num_cells is None else min(count, max(1, num_cells)))


def make_subject(
    backbone: Backbone, image_size: int, batch_size: int, device: str, threads: int
) -> Subject:
    """Return what a probe of a backbone is kept under."""
    return Subject(
        backbone=backbone.reference,
        version=backbone.algorithm_version,
        image_size=image_size,
        batch_size=batch_size,
        device=device_name(device),
        threads=threads,
        torch=torch.__version__,
    )


def find_or_measure(
    backbone: Backbone, subject: Subject, device: str, wanted: tuple[Precision, ...], told: Told
) -> Probe | None:
    """Return the cached probe of a subject, or measure it now and keep it.

    Returns:
        None where it cannot be measured, which is said.

    Raises:
        CacheError: The cache cannot be written.
    """
    try:
        return probe_now(backbone, subject, device, told, wanted)
    except ProbeError as error:
        told.say(f"{error}, so the usual is used")
        return None


def probe_now(
    backbone: Backbone,
    subject: Subject,
    device: str,
    told: Told,
    wanted: tuple[Precision, ...] = (),
    *,
    again: bool = False,
) -> Probe:
    """Return the cached probe of a subject, or measure it now and keep it.

    Args:
        backbone: What is measured.
        subject: Its shape, and this machine.
        device: Where.
        told: Is told that it is measured.
        wanted: Precisions; () stands for every one the device may have.
        again: Measure anew what is in the cache.

    Raises:
        ProbeError: It cannot be measured.
        CacheError: The cache cannot be written.
    """
    wanted = wanted or possible(device)
    known = None if again else kept_probe(subject)
    if known is not None and known.covers(wanted):
        return known
    told.say(f"measuring {subject.shape}: memory formats, {' and '.join(wanted)}")
    # What was measured for another run is not lost.
    before = () if known is None else tuple(one.precision for one in known.candidates)
    with _process(device, subject.threads):
        try:
            probe = measure(backbone, subject, device, tuple(dict.fromkeys((*before, *wanted))))
        except Exception as error:
            raise ProbeError(f"{subject.shape} cannot be measured: {cause(error)}") from error
    if known is not None:
        probe = probe.model_copy(update={"compiled": known.compiled})
    keep_probe(probe)
    return probe


def find_or_compile(
    backbone: Backbone,
    probe: Probe,
    device: str,
    chosen: tuple[MemoryFormat, Precision],
    told: Told,
) -> Probe:
    """Return the probe with what compiling the chosen candidate gives, measured now if need be."""
    if probe.compiling(*chosen) is not None or compile_problem(device) is not None:
        return probe
    told.say(f"measuring what compiling gives: {probe.subject.shape}, {' '.join(chosen)}")
    with _process(device, probe.subject.threads):
        found = measure_compiled(backbone, probe, device, chosen)
    keep_probe(found)
    return found


def prepare_engine(cells: Iterable[Cell], catalog: Catalog, job: Job, told: Told) -> Job:
    """Measure what pays for the cells ahead, and count their steps.

    Workers read the cache; what they cannot know, how much work lies ahead, goes with the job.

    Args:
        cells: Those that are due.
        catalog: Of this process.
        job: How they run.
        told: Is told what is measured.

    Returns:
        The job with `steps_ahead`.

    Raises:
        CacheError: The cache cannot be written.
    """
    due = list(cells)
    if job.deterministic or not due:
        return job
    threads, workers = usual_threads(job, len(due)), min(num_workers(job), len(due))
    steps, wanted = _steps(due, catalog, job.device, threads)
    ahead = {subject.shape: count // workers for subject, count in steps.items()}
    job = replace(job, steps_ahead=ahead)
    if "auto" not in {job.memory_format, job.compile}:
        return job
    for subject, count in steps.items():
        if count >= _STEPS_WORTH_A_PROBE:
            backbone = cast(Backbone, catalog.create("backbone", subject.backbone))
            probe = find_or_measure(backbone, subject, job.device, wanted[subject], told)
            if probe is not None and job.compile == "auto":
                _compile_if_long(backbone, probe, ahead[subject.shape], wanted[subject], job, told)
    return job


def check_compile(job: Job) -> None:
    """Refuse `compile` on where it cannot be.

    Raises:
        RequestError: There is no compiler.
    """
    problem = compile_problem(job.device) if job.compile == "on" else None
    if problem:
        with about("compile"):
            raise RequestError(f"compile on: {one_line(problem)}; use --compile off")


def _compile_if_long(
    backbone: Backbone,
    probe: Probe,
    steps: int,
    precisions: tuple[Precision, ...],
    job: Job,
    told: Told,
) -> None:
    """Measure compiling where a worker has hours of steps ahead."""
    for precision in precisions:
        memory_format = (
            choose_format(probe, precision)[0] if job.memory_format == "auto" else job.memory_format
        )
        one = probe.find(memory_format, precision)
        if one is None or one.seconds is None:
            continue
        seconds = one.seconds * probe.subject.batch_size / probe.measured_batch
        if seconds * steps >= _SECONDS_WORTH_COMPILING:
            probe = find_or_compile(backbone, probe, job.device, (memory_format, precision), told)


def _steps(
    cells: list[Cell], catalog: Catalog, device: str, threads: int
) -> tuple[Counter[Subject], dict[Subject, tuple[Precision, ...]]]:
    """Count the steps of cells by what trains, and note the precisions they train in.

    It is an upper bound: a variant may keep fewer images, a strategy may freeze what comes first.
    """
    steps: Counter[Subject] = Counter()
    precisions: dict[Subject, tuple[Precision, ...]] = {}
    sizes: dict[str, int] = {}
    for cell in cells:
        if cell.dataset not in sizes:
            dataset = cast(Dataset, catalog.create("dataset", cell.dataset))
            sizes[cell.dataset] = dataset.info().num_train
        protocol = cell.protocol
        limit = protocol.limit_train
        images = min(sizes[cell.dataset], sizes[cell.dataset] if limit is None else int(limit))
        drawn = images * (1 - protocol.validation_fraction) * protocol.epochs
        subject = subject_of(cell, torch.device(device)).model_copy(update={"threads": threads})
        steps[subject] += max(1, int(drawn / protocol.batch_size))
        known = precisions.get(subject, ())
        precisions[subject] = tuple(dict.fromkeys((*known, protocol.precision)))
    return steps, precisions


@contextmanager
def _process(device: str, threads: int) -> Iterator[None]:
    """Be for a while what a worker is."""
    with settings_restored():
        prepare_process(device, threads=threads, deterministic=False)
        yield
