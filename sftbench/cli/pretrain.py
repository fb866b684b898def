"""`sftbench pretrain`: the first of two stages, kept as weights."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from sftbench.cli.axes import changes_of, completes, protocol_options


@click.command()
@click.option(
    "--backbone",
    "-b",
    required=True,
    metavar="NAME",
    shell_complete=completes("backbone"),
    help="What is trained, from random weights.",
)
@click.option(
    "--dataset",
    "-d",
    required=True,
    metavar="SOURCE",
    shell_complete=completes("dataset"),
    help="What it is trained on.",
)
@click.option(
    "--objective",
    default="supervised",
    show_default=True,
    metavar="NAME",
    help="supervised, or without labels: rotation, simclr.",
)
@click.option("--protocol", default="pretrain", show_default=True, metavar="NAME", help="Its name.")
@protocol_options
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N, mps.")
@click.option("--deterministic", is_flag=True, help="The same bits on the same machine.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def pretrain(
    backbone: str, dataset: str, objective: str, protocol: str, *, as_json: bool, **options: Any
) -> int:
    """Train BACKBONE on SOURCE, validate it, and keep its weights with their record.

    What was trained once is not trained again. `--weights pretrain:SOURCE` of `sftbench run` does
    the same with the default protocol, where it is missing.
    """
    from sftbench import cache
    from sftbench.cli.telling import telling
    from sftbench.contracts.execution import Job
    from sftbench.discovery import build_catalog
    from sftbench.engine.optimizers import check_optimizer
    from sftbench.engine.runtime import resolve_devices, usual_precision
    from sftbench.preparation import check_unchanged, run_pretraining, source_with_objective
    from sftbench.pretraining import pretrained_weights, pretraining_cell
    from sftbench.probing import Precisions
    from sftbench.weights import KEY_LENGTH

    job = Job(
        out=Path(),
        devices=resolve_devices(options["device"])[:1],
        deterministic=options["deterministic"],
        plugins=os.environ.get("SFTBENCH_PLUGINS"),
    )
    catalog = build_catalog()
    made: Any = catalog.create("backbone", backbone)
    source = source_with_objective(dataset, objective, catalog)
    changes, precision = changes_of(options), usual_precision(job.device)
    usual = pretraining_cell(made, source, catalog, precision)
    first = pretraining_cell(made, source, catalog, precision, protocol=protocol, changes=changes)
    with telling() as told:
        precisions = Precisions(job, told)
        precisions.check(first.protocol.precision)
        if changes.get("precision") == "auto":
            size, batch = int(first.protocol.image_size), first.protocol.batch_size
            changes["precision"] = precisions.auto(made, size, batch)
            first = pretraining_cell(
                made, source, catalog, precision, protocol=protocol, changes=changes
            )
    check_optimizer(first.protocol.optimizer)
    made.build(int(first.protocol.image_size))
    known = cache.find("pretrained", first.cell_id[:KEY_LENGTH]) is not None
    with telling() as told:
        folder = run_pretraining(first, catalog, job, told)
    check_unchanged(folder, source)
    if known:
        click.echo("trained before; nothing to do", err=True)
    name = pretrained_weights(first)
    if first.cell_id == usual.cell_id:
        name = f"pretrain:{first.dataset}"
    _print(folder, name, as_json=as_json)
    return 0


def _print(folder: Path, name: str, *, as_json: bool) -> None:
    from sftbench.pretraining import kept_record
    from sftbench.weights import WEIGHTS_FILE

    record = kept_record(folder)
    file = folder / WEIGHTS_FILE
    if as_json:
        document = {
            "weights": name,
            "file": str(file),
            "metrics": record.metrics.get("selected", {}),
            "seconds": record.timing.total_seconds,
            "record": str(folder / "record.json"),
        }
        click.echo(json.dumps(document, indent=2))
        return
    primary = record.primary.name if record.primary else ""
    scores = [
        f"{split} {primary} {value:.3f}"
        for split in ("val", "test")
        if (value := record.value(primary, split)) is not None
    ]
    click.echo(
        f"{record.cell.backbone} on {record.cell.dataset}: {', '.join(scores)}; "
        f"trained in {record.timing.total_seconds:.0f} s"
    )
    click.echo(f"kept {file}")
    click.echo(f"use them: sftbench run --backbone {record.cell.backbone} --weights {name}")
