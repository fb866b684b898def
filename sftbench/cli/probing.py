"""What `sftbench doctor --probe` prints: how fast each way of training a backbone is here."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import click

from sftbench.cli.columns import print_columns
from sftbench.names import one_line

if TYPE_CHECKING:
    from sftbench.catalog import Catalog
    from sftbench.contracts.backbone import Backbone
    from sftbench.probes import Candidate, Compiled, MemoryFormat, Probe, Subject
    from sftbench.protocol import Precision

_WIDTH = 100


def print_probe(
    *,
    backbone: str | None,
    image_size: int | None,
    batch_size: int | None,
    device: str,
    compiling: bool,
    again: bool,
    as_json: bool,
) -> int:
    """Measure a backbone, or read what the cache has of it, and print what follows.

    Raises:
        RequestError: No such backbone or device, or there is no compiler.
        UnavailableError: It cannot be measured.
    """
    from sftbench.cli.telling import telling
    from sftbench.discovery import build_catalog
    from sftbench.engine.hardware import compile_problem
    from sftbench.engine.runtime import resolve_devices
    from sftbench.errors import RequestError
    from sftbench.probes import choose_format, choose_precision
    from sftbench.probing import find_or_compile, probe_now

    where = resolve_devices(device)[0]
    problem = compile_problem(where) if compiling else None
    if problem:
        raise RequestError(f"--compile: {problem}")
    catalog = build_catalog()
    made, subject = _subject(catalog, backbone, image_size, batch_size, where)
    with telling() as told:
        probe = probe_now(made, subject, where, told, again=again)
        precision = choose_precision(probe)[0]
        chosen = (choose_format(probe, precision)[0], precision)
        if compiling:
            probe = find_or_compile(made, probe, where, chosen, told)
    if as_json:
        click.echo(json.dumps(_document(probe, chosen), indent=2))
        return 0
    _print(probe, chosen)
    return 0


def _subject(
    catalog: Catalog,
    name: str | None,
    image_size: int | None,
    batch_size: int | None,
    device: str,
) -> tuple[Backbone, Subject]:
    """Return what is measured: by default what the main job trains."""
    from pathlib import Path

    from sftbench.contracts.backbone import Backbone
    from sftbench.contracts.dataset import Dataset
    from sftbench.contracts.execution import Job
    from sftbench.probing import make_subject, usual_threads
    from sftbench.protocol import Protocol
    from sftbench.request import Request

    usual = Request()
    made = cast(Backbone, catalog.create("backbone", name or usual.backbone[0]))
    size = image_size
    if size is None and name is None:
        size = cast(Dataset, catalog.create("dataset", usual.dataset[0])).info().image_size
    threads = usual_threads(Job(out=Path(), devices=(device,)))
    subject = make_subject(
        made,
        size or made.info().image_size,
        batch_size or Protocol().batch_size,
        device,
        threads,
    )
    return made, subject


def _document(probe: Probe, chosen: tuple[MemoryFormat, Precision]) -> dict[str, object]:
    """Return the probe for another program."""
    from sftbench.probes import choose_format, choose_precision

    return {
        **probe.model_dump(mode="json"),
        "chosen": {"memory_format": chosen[0], "precision": chosen[1]},
        "why": {
            "memory_format": choose_format(probe, chosen[1])[1],
            "precision": choose_precision(probe)[1],
        },
        "steps_to_pay_back": {
            f"{one.memory_format} {one.precision}": one.steps_to_pay_back for one in probe.compiled
        },
    }


def _print(probe: Probe, chosen: tuple[MemoryFormat, Precision]) -> None:
    subject = probe.subject
    click.echo(f"{subject.shape}, by steps of {probe.measured_batch} images")
    threads = "1 thread" if subject.threads == 1 else f"{subject.threads} threads"
    when = probe.made_at[:16].replace("T", " ")
    where = f"{one_line(subject.device)}, {threads}, torch {subject.torch}, {when} UTC"
    click.echo(textwrap.fill(where, _WIDTH))
    rows = [_row(one, probe.measured_batch, chosen) for one in probe.candidates]
    head = ["candidate", "ms/step", "images/s", "loss off", ""]
    print_columns(head, rows, right={1, 2, 3})
    for line in _lines(probe, chosen):
        click.echo(textwrap.fill(line, _WIDTH, subsequent_indent="  "))


def _row(one: Candidate, batch: int, chosen: tuple[MemoryFormat, Precision]) -> list[str]:
    off = "-" if one.loss_difference is None else f"{one.loss_difference:.1%}"
    times = ["-", "-"]
    if one.seconds is not None:
        times = [f"{1000 * one.seconds:.1f}", f"{batch / one.seconds:.1f}"]
    is_chosen = (one.memory_format, one.precision) == chosen
    return [one.title, *times, off, "chosen by auto" if is_chosen else one.problem]


def _lines(probe: Probe, chosen: tuple[MemoryFormat, Precision]) -> Iterator[str]:
    from sftbench.probes import choose_format, choose_precision

    yield f"precision: {chosen[1]}: {choose_precision(probe)[1]}"
    for precision in dict.fromkeys(one.precision for one in probe.candidates):
        memory_format, why = choose_format(probe, precision)
        yield f"memory format in {precision}: {memory_format}: {why}"
    for one in probe.compiled:
        yield f"compiled {one.memory_format} {one.precision}: {_compiled(one)}"


def _compiled(one: Compiled) -> str:
    if one.problem:
        return one.problem
    ratio = one.eager_seconds / one.compiled_seconds
    text = (
        f"{1000 * one.compiled_seconds:.1f} instead of {1000 * one.eager_seconds:.1f} ms a step "
        f"({ratio:.2f} times as fast) after {one.compile_seconds:.0f} s of compiling"
    )
    steps = one.steps_to_pay_back
    return f"{text}; never pays back" if steps is None else f"{text}; pays back in {steps:,} steps"
