"""Commands that would work here, when the one that was given cannot."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sftbench.catalog import Catalog
    from sftbench.contracts.backbone import Backbone

_SWITCHES = {
    "--backbone": ("-b", "--backbone"),
    "--weights": ("-w", "--weights"),
    "--dataset": ("-d", "--dataset"),
}


def commands_without_hub(arguments: Sequence[str], backbone: str) -> list[str]:
    """Return whole command lines that do what was asked with weights that can be had here.

    Args:
        arguments: Of the command line, without the program's name.
        backbone: Whose pretrained weights cannot be had.
    """
    from sftbench.discovery import build_catalog
    from sftbench.errors import UnavailableError
    from sftbench.request import Request
    from sftbench.weights import locate

    catalog = build_catalog()
    targets = _targets(arguments) or list(Request().dataset)
    commands = []
    made = _created(backbone, catalog)
    # What is made of another backbone is made of one whose weights are here: `NAME:BODY`.
    outer = f"{made.name}:" if made is not None and made.made_of is not None else ""
    source = _smallest_source(targets, catalog, made)
    if source is not None:
        commands.append(_with(arguments, "--weights", f"pretrain:{source}"))
    for packaged in catalog.packaged_weights:
        try:
            at_hand = locate(packaged) is not None
        except UnavailableError:
            continue
        if at_hand and outer + packaged.backbone != backbone:
            commands.append(_with(arguments, "--backbone", outer + packaged.backbone))
            break
    commands.append(_with(arguments, "--weights", "none"))
    return [f"sftbench {shlex.join(command)}" for command in commands]


def _created(backbone: str, catalog: Catalog) -> Backbone | None:
    """Return the backbone, or None where it cannot be built by its name."""
    from typing import cast

    from sftbench.contracts.backbone import Backbone
    from sftbench.errors import SftbenchError

    try:
        return cast(Backbone, catalog.create("backbone", backbone))
    except SftbenchError:
        return None


def _smallest_source(
    targets: Sequence[str], catalog: Catalog, backbone: Backbone | None
) -> str | None:
    """Return the smallest data set that is here, that the backbone serves, and is not a target."""
    from typing import cast

    from sftbench.catalog import BUILTIN
    from sftbench.contracts.dataset import Dataset
    from sftbench.contracts.task import Task

    sizes = {}
    for offer in catalog.listing("dataset"):
        if offer.parameter is None and offer.name not in targets:
            try:
                info = cast(Dataset, catalog.create("dataset", offer.name)).info()
                task = cast(Task, catalog.create("task", info.task))
                if backbone is not None and not task.served_by(backbone.info()):
                    continue
            except Exception:  # noqa: BLE001, S112 - a plugin's may raise anything; it is no help then
                continue
            sizes[offer.name] = (offer.plugin.name != BUILTIN, info.num_train)
    return min(sizes, key=lambda name: sizes[name], default=None)


def _targets(arguments: Sequence[str]) -> list[str]:
    """Return the data sets that are asked for, in the options or in a plan file."""
    from pathlib import Path

    from sftbench.errors import SftbenchError
    from sftbench.plan_files import read_plan_file

    given = _values(arguments, "--dataset")
    for word in arguments:
        if not given and word.endswith(".toml"):
            try:
                found = read_plan_file(Path(word)).values.get("dataset", [])
            except SftbenchError:
                continue
            given = [found] if isinstance(found, str) else list(found)
    return given


def _values(arguments: Sequence[str], option: str) -> list[str]:
    """Return the values of an option, however it was written."""
    return [value for name, value in _parsed(arguments) if name in _SWITCHES[option] and value]


def _with(arguments: Sequence[str], option: str, value: str) -> list[str]:
    """Return the arguments with an option's values replaced by one."""
    kept = []
    for name, given in _parsed(arguments):
        if name not in _SWITCHES[option]:
            kept += [name] if given is None else [name, given]
    return [*kept, option, value]


def _parsed(arguments: Sequence[str]) -> list[tuple[str, str | None]]:
    """Split arguments into (option, value), or (word, None); only known options take a value."""
    known = {name for names in _SWITCHES.values() for name in names}
    found: list[tuple[str, str | None]] = []
    rest = iter(arguments)
    for word in rest:
        name, equals, value = word.partition("=")
        if word in known:
            found.append((word, next(rest, None)))
        elif equals and name in known:
            found.append((name, value))
        elif word[:2] in known and not word.startswith("--"):
            found.append((word[:2], word[2:]))
        else:
            found.append((word, None))
    return found
