"""The options of `run` and `plan` that ask for reliability measures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from sftbench import measures

CommandT = TypeVar("CommandT", bound=Callable[..., Any])
_FLAGS = (measures.ATTRIBUTION, measures.CORRUPTIONS, measures.DRIFT, measures.FORGETTING)
_OPTIONS = [
    click.option(
        "--ood",
        "ood",
        multiple=True,
        metavar="NAME",
        help="Also: how well images of another data set are told apart.",
    ),
    click.option(
        "--corruptions",
        is_flag=True,
        help="Also: accuracy under 15 corruptions at 5 severities each.",
    ),
    click.option(
        "--drift", is_flag=True, help="Also: how far features moved from the pretrained ones (CKA)."
    ),
    click.option(
        "--forgetting",
        is_flag=True,
        help="Also: accuracy on the data set that pretrain:SOURCE weights come from.",
    ),
    click.option(
        "--attribution",
        is_flag=True,
        help="Also: Grad-CAM maps, tested by deletion and insertion (needs an extra).",
    ),
]


def reliability_options(command: CommandT) -> CommandT:
    """Add the options that ask for reliability measures."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def measures_of(options: dict[str, Any]) -> dict[str, Any]:
    """Return what the options change of the protocol: `evaluate`, where they ask for anything."""
    asked = [f"{measures.OOD}:{name}" for name in options.get("ood") or ()]
    asked += [flag for flag in _FLAGS if options.get(flag)]
    return {"evaluate": tuple(asked)} if asked else {}
