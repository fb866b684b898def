"""`sftbench show`: all about one component."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Any, cast

import click

from sftbench.names import one_line

_MOST_SHOWN = 10_000
_KINDS = (
    "backbone",
    "dataset",
    "variant",
    "strategy",
    "task",
    "metric",
    "executor",
    "tracker",
    "protocol",
)


@click.command()
@click.argument("kind", type=click.Choice(_KINDS), metavar="KIND")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def show(kind: str, name: str, *, as_json: bool) -> int:
    """Show options, defaults, source and licence of one component, or a protocol's values.

    KIND is backbone, dataset, variant, strategy, task, metric, executor, tracker or protocol.
    """
    facts = _protocol(name) if kind == "protocol" else _component(kind, name)
    if as_json:
        click.echo(json.dumps(facts, indent=2, default=str))
        return 0
    for key, value in facts.items():
        if isinstance(value, dict):
            click.echo(f"{key}:")
            for inner, content in value.items():
                click.echo(f"  {inner} = {_text(content)}")
        elif isinstance(value, str) and "\n" in value:
            click.echo(f"{key}:")
            for line in value.splitlines():
                click.echo(f"  {line}".rstrip())
        else:
            click.echo(f"{key}: {_text(value)}")
    return 0


def _text(value: object) -> str:
    """Return a value as one line; a data set's class names are names of folders, and may be odd."""
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return one_line(text, _MOST_SHOWN)


def _protocol(name: str) -> dict[str, Any]:
    from sftbench.protocol import named_protocol

    values = named_protocol(name).model_dump(mode="json")
    rates = values.pop("rates")
    return {"protocol": values.pop("name"), "values": values, "peak rates": rates}


def _component(kind: str, reference: str) -> dict[str, Any]:
    from sftbench.contracts.component import Kind
    from sftbench.discovery import build_catalog
    from sftbench.names import split_reference

    catalog = build_catalog()
    name, argument = split_reference(reference)
    cls, plugin = catalog.owner(cast(Kind, kind), name)
    facts: dict[str, Any] = {
        kind: name,
        "summary": cls.summary,
        "from": plugin.label,
        "algorithm version": cls.algorithm_version,
        "about": inspect.cleandoc(cls.__doc__ or ""),
    }
    if cls.argument:
        facts["parameter"] = f"{name}:{cls.argument.upper()}"
    options = {
        key: f"{'needed' if field.is_required() else field.default}"
        for key, field in cls.options_model.model_fields.items()
    }
    if options:
        facts["options"] = options
    if kind in ("backbone", "dataset") and (argument is not None or cls.argument is None):
        component = catalog.create(cast(Kind, kind), reference)
        described = component.info()  # type: ignore[attr-defined]
        facts["info"] = dataclasses.asdict(described)
    return facts
