"""Entry points -> one frozen catalog. A broken plugin is listed with its cause, and harms none.

Environment:
    SFTBENCH_PLUGINS: Comma-separated names of distributions or entry points to load beside the
        built-ins; empty for the built-ins alone; unset for every plugin. A word that is both
        means the distribution.
    SFTBENCH_TRACE_PLUGINS: If set to 1, every hook call is logged at level INFO.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from importlib.metadata import EntryPoint
from types import MappingProxyType
from typing import Any

import pluggy

from sftbench import hookspecs
from sftbench.catalog import (
    BUILTIN,
    KINDS,
    Catalog,
    Offer,
    PluginInfo,
    class_problem,
    conflict,
    plural,
)
from sftbench.contracts.component import Component, Entry, Family, Kind
from sftbench.contracts.weights import PackagedWeights
from sftbench.names import MAX_NAME, cause, is_valid_name, nearest, one_line, shown

GROUP = "sftbench"
_BUILTIN_MODULE = "sftbench.builtin"
_KINDS_BY_HOOK: dict[str, Kind] = {f"sftbench_{plural(kind)}": kind for kind in KINDS}
_WEIGHTS_HOOK = "sftbench_weights"
_HOOKS = (*_KINDS_BY_HOOK, _WEIGHTS_HOOK)
_log = logging.getLogger(__name__)


class _PluginError(Exception):
    """Why a plugin does not load, in one line."""


def build_catalog(
    entry_points: Iterable[EntryPoint] | None = None, chosen: str | None = None
) -> Catalog:
    """Load plugins and return what they offer.

    Args:
        entry_points: In place of the installed ones of group `sftbench`.
        chosen: In place of SFTBENCH_PLUGINS.
    """
    found = _unique(
        importlib.metadata.entry_points(group=GROUP) if entry_points is None else entry_points
    )
    selection = os.environ.get("SFTBENCH_PLUGINS") if chosen is None else chosen
    selected, missing = _select(found, selection)
    plugins: list[PluginInfo] = []
    offers: list[Offer] = []
    packaged: list[PackagedWeights] = []
    for point in selected:
        info = _describe(point)
        try:
            _check_name(point, selected)
            items, weights = _load(point, info)
        except _PluginError as error:
            _log.debug("plugin %s does not load", info.name, exc_info=error)
            plugins.append(replace(info, error=one_line(str(error), 400)))
            continue
        info = replace(info, components=len(items) + len(weights))
        plugins.append(info)
        offers.extend(replace(offer, plugin=info) for offer in items)
        packaged.extend(weights)
    return _assemble(offers, [*plugins, *missing], packaged)


def _assemble(
    offers: list[Offer], plugins: list[PluginInfo], packaged: list[PackagedWeights]
) -> Catalog:
    by_name: defaultdict[tuple[Kind, str], list[Offer]] = defaultdict(list)
    families: defaultdict[Kind, list[Offer]] = defaultdict(list)
    for offer in offers:
        if isinstance(offer.target, Family):
            families[offer.kind].append(offer)
        else:
            by_name[offer.kind, offer.name].append(offer)
    # The longest prefix is asked first, so `torchvision/resnet18` never reaches timm.
    ordered = {
        kind: tuple(sorted(items, key=lambda item: -len(getattr(item.target, "prefix", ""))))
        for kind, items in families.items()
    }
    noted = tuple(_with_conflict(plugin, by_name, plugins) for plugin in plugins)
    return Catalog(
        offers=MappingProxyType({key: tuple(items) for key, items in by_name.items()}),
        families=MappingProxyType(ordered),
        plugins=noted,
        packaged_weights=tuple(packaged),
    )


def _with_conflict(
    plugin: PluginInfo,
    by_name: Mapping[tuple[Kind, str], list[Offer]],
    plugins: list[PluginInfo],
) -> PluginInfo:
    """Note on a plugin the first name that another one offers too."""
    for items in by_name.values():
        if len(items) > 1 and plugin.name in {item.plugin.name for item in items}:
            return plugin if plugin.error else replace(plugin, error=conflict(items, plugins))
    return plugin


def _is_builtin(point: EntryPoint) -> bool:
    return (point.name, point.value) == (BUILTIN, _BUILTIN_MODULE)


def _unique(points: Iterable[EntryPoint]) -> list[EntryPoint]:
    """Drop an entry point seen again (a distribution found by two paths); built-ins go first."""
    seen: dict[tuple[str, str, str], EntryPoint] = {}
    for point in points:
        owner = GROUP if _is_builtin(point) else _normal(_describe(point).distribution)
        seen.setdefault((owner, point.name, point.value), point)
    # By distribution too, for messages that do not depend on the order of a folder's files.
    order = sorted(seen, key=lambda key: (not _is_builtin(seen[key]), key[1], key[0]))
    return [seen[key] for key in order]


def _normal(distribution: str) -> str:
    """Return the form in which `My_Plugin` and `my-plugin` are one distribution."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _select(
    points: list[EntryPoint], selection: str | None
) -> tuple[list[EntryPoint], list[PluginInfo]]:
    """Return the entry points to load, and a note on each word that chooses none."""
    if selection is None:
        return points, []
    wanted = dict.fromkeys(word.strip() for word in selection.split(",") if word.strip())
    distributions = {_normal(_describe(point).distribution) for point in points}
    chosen = {_normal(word) for word in wanted} & distributions
    names = {word for word in wanted if _normal(word) not in distributions}
    selected = [
        point
        for point in points
        if _is_builtin(point)
        or _normal(_describe(point).distribution) in chosen
        or point.name in names
    ]
    present = [point.name for point in points]
    lost = [word for word in wanted if word in names.difference(present, {BUILTIN, GROUP})]
    return selected, [_not_found(word, present) for word in lost]


def _not_found(word: str, present: list[str]) -> PluginInfo:
    close = nearest(word, present)
    hint = f"; did you mean {shown(close[0])}?" if close else ""
    return PluginInfo(
        one_line(word, MAX_NAME), "", "", error=f"SFTBENCH_PLUGINS: no such plugin{hint}"
    )


def _describe(point: EntryPoint) -> PluginInfo:
    distribution = version = ""
    try:
        if point.dist is not None:
            distribution, version = point.dist.metadata["Name"] or "", point.dist.version or ""
    except Exception as error:  # noqa: BLE001 - half-removed metadata must not hide the plugin
        _log.debug("entry point %r: %s", point.name, cause(error))
    name, distribution, version = (
        one_line(text, MAX_NAME) for text in (point.name, distribution, version)
    )
    return PluginInfo(name, distribution, version)


def _check_name(point: EntryPoint, selected: list[EntryPoint]) -> None:
    """Refuse a name of an entry point that is not its plugin's alone."""
    if _is_builtin(point):
        return
    if point.name == BUILTIN:
        raise _PluginError(f"the entry point's name {BUILTIN!r} is sftbench's own; use another")
    found = [_describe(other) for other in selected if other.name == point.name]
    if len(found) == 1:
        return
    whose = " and ".join(info.label for info in found)
    names = list(dict.fromkeys(info.distribution for info in found if info.distribution))
    choice = " or ".join(f"SFTBENCH_PLUGINS={name}" for name in names)
    choose = f"choose one with {choice}" if len(names) == len(found) else "remove one"
    raise _PluginError(f"entry point {shown(point.name)} is used by {whose}; {choose}")


@contextmanager
def _guard(doing: str = "") -> Iterator[None]:
    """Turn whatever a plugin raises into one line; only the person's own Ctrl-C passes."""
    try:
        yield
    except (KeyboardInterrupt, _PluginError):
        raise
    except BaseException as error:
        raise _PluginError(f"{doing}{cause(error)}") from error


def _load(point: EntryPoint, info: PluginInfo) -> tuple[list[Offer], list[PackagedWeights]]:
    """Load one plugin and return all that it offers, or nothing."""
    # Each plugin has a manager of its own: none can wrap the hooks of another, and what is left
    # of one that failed halfway is left nowhere.
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    if os.environ.get("SFTBENCH_TRACE_PLUGINS") == "1":
        manager.trace.root.setwriter(lambda line: _log.info("%s: %s", info.name, one_line(line)))
        manager.enable_tracing()
    if EntryPoint.pattern.match(point.value) is None:
        raise _PluginError(f"entry point leads to {shown(point.value)}, not to MODULE:ATTRIBUTE")
    with _guard():
        plugin = point.load()
        _check_hooks(manager, plugin)
        manager.register(plugin, name=info.name)
    offers: list[Offer] = []
    weights: list[PackagedWeights] = []
    for caller in manager.get_hookcallers(plugin) or ():
        if caller.name not in _HOOKS:
            continue  # optional, of another version of sftbench
        with _guard(f"{caller.name}() raised "):
            answers = caller()
        if len(answers) < len(caller.get_hookimpls()):
            raise _PluginError(f"{caller.name}() returned None, not a list")
        for answer in answers:
            with _guard(f"{caller.name}() returned something that raised "):
                items = _listed(answer, caller.name)
                if caller.name == _WEIGHTS_HOOK:
                    weights.extend(_checked_weights(item) for item in items)
                else:
                    offers.extend(_checked_item(item, caller.name, info) for item in items)
    _check_once(offers)
    return offers, weights


def _check_hooks(manager: pluggy.PluginManager, plugin: Any) -> None:
    """Refuse a hook that does not exist, or cannot be called, or lacks the marker."""
    names = dir(plugin)
    found = []
    for name in names:
        options = manager.parse_hookimpl_opts(plugin, name)
        if options is not None:
            found.append(options.get("specname") or name)
            if found[-1] not in _HOOKS and not options.get("optionalhook"):
                raise _PluginError(_unknown_hook(found[-1]))
            if options.get("wrapper") or options.get("hookwrapper"):
                raise _PluginError(f"{name}() is a wrapper; a hook of sftbench returns a list")
            _check_parameters(getattr(plugin, name), name)
        elif name in _HOOKS:
            raise _PluginError(f"{name}() lacks the decorator @sftbench.api.hookimpl")
    if not set(_HOOKS) & set(found):
        similar = [name for name in names if name.startswith(f"{GROUP}_") and nearest(name, _HOOKS)]
        raise _PluginError(
            _unknown_hook(similar[0]) if similar else f"has no hook; hooks: {', '.join(_HOOKS)}"
        )


def _check_parameters(function: Any, name: str) -> None:
    for parameter in inspect.signature(function).parameters.values():
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if parameter.default is parameter.empty and not variadic:
            raise _PluginError(f"{name}() has the parameter {parameter.name!r}; hooks take none")


def _unknown_hook(name: str) -> str:
    close = nearest(name, _HOOKS) or sorted(_HOOKS)
    return f"unknown hook {shown(name)}; did you mean {close[0]!r}?"


def _check_once(offers: list[Offer]) -> None:
    seen = set()
    for offer in offers:
        key = (offer.kind, offer.name, isinstance(offer.target, Family))
        if key in seen:
            raise _PluginError(f"lists {offer.kind} {offer.name!r} twice")
        seen.add(key)


def _listed(answer: Any, hook: str) -> list[Any]:
    if not isinstance(answer, list | tuple):
        what = f"class {answer.__name__}" if isinstance(answer, type) else type(answer).__name__
        raise _PluginError(f"{hook}() returned {what}, not a list")
    return list(answer)


def _checked_weights(item: Any) -> PackagedWeights:
    if not isinstance(item, PackagedWeights):
        what = item.__name__ if isinstance(item, type) else shown(item, 60)
        raise _PluginError(f"{_WEIGHTS_HOOK}() returned {what}, which is no PackagedWeights")
    _check_texts(item, _WEIGHTS_HOOK)
    problem = None
    if not is_valid_name(item.backbone):
        problem = f"{shown(item.backbone)} is no valid name (letters, digits, ._/=+-)"
    elif re.fullmatch(r"[0-9a-f]{64}", item.sha256) is None:
        problem = f"weights of {item.backbone} have the sha256 {shown(item.sha256)}, which is none"
    elif item.file.startswith("/") or ".." in item.file.split("/"):
        problem = f"weights of {item.backbone} have the file {shown(item.file)} outside a package"
    if problem:
        raise _PluginError(f"{_WEIGHTS_HOOK}(): {problem}")
    return item


def _checked_item(item: Any, hook: str, info: PluginInfo) -> Offer:
    kind = _KINDS_BY_HOOK[hook]
    wanted = KINDS[kind].__name__
    if isinstance(item, Entry | Family):
        _check_texts(item, hook)
        parameter = item.parameter if isinstance(item, Entry) else None
    elif isinstance(item, type) and issubclass(item, KINDS[kind]):
        problem = class_problem(item, kind)
        if problem:
            raise _PluginError(f"{hook}(): {item.__name__} {problem}")
        parameter = item.argument.upper() if item.argument else None
    elif isinstance(item, Component):
        raise _PluginError(f"{hook}() returned an instance of {type(item).__name__}, not the class")
    else:
        what = item.__name__ if isinstance(item, type) else shown(item, 60)
        raise _PluginError(f"{hook}() returned {what}, which is no {wanted} class, Entry or Family")
    if not is_valid_name(item.name):
        raise _PluginError(
            f"{hook}(): {shown(item.name)} is no valid name (letters, digits, ._/=+-)"
        )
    parameter = one_line(parameter, MAX_NAME) if parameter else None
    return Offer(kind, item.name, one_line(item.summary), parameter, info, item)


def _check_texts(item: Entry | Family | PackagedWeights, hook: str) -> None:
    """Refuse what is no text: dataclasses do not check, and the listing sorts and prints it."""
    name = item.backbone if isinstance(item, PackagedWeights) else item.name
    what = f"{hook}(): {type(item).__name__} {shown(name)}"
    for field in fields(item):
        value = getattr(item, field.name)
        if field.name == "beside" and isinstance(value, Mapping):
            strange = [part for pair in value.items() for part in pair if not isinstance(part, str)]
            value = strange[0] if strange else ""
        if field.name == "against":
            if not isinstance(value, tuple):
                raise _PluginError(f"{what} has against {shown(value)}, not a tuple of texts")
            value = next((part for part in value if not isinstance(part, str)), "")
        if not isinstance(value, str) and not (field.name == "parameter" and value is None):
            raise _PluginError(f"{what} has {field.name} {shown(value)}, not text")
