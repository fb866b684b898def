"""The catalog: every component that can be asked for, whose it is, and what did not load."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

from sftbench.contracts.backbone import Backbone
from sftbench.contracts.component import Component, Entry, Family, Kind, Resolver
from sftbench.contracts.dataset import Dataset, Variant
from sftbench.contracts.execution import Executor, Tracker
from sftbench.contracts.strategy import Strategy
from sftbench.contracts.task import Metric, Task
from sftbench.contracts.weights import PackagedWeights
from sftbench.errors import RequestError, SftbenchError
from sftbench.names import cause, is_valid_name, shown, split_reference, unknown_name
from sftbench.options import Options, validate

BUILTIN = "builtin"
KINDS: Mapping[Kind, type[Component]] = MappingProxyType(
    {
        "backbone": Backbone,
        "dataset": Dataset,
        "variant": Variant,
        "strategy": Strategy,
        "task": Task,
        "metric": Metric,
        "executor": Executor,
        "tracker": Tracker,
    }
)
_PLURALS = {"strategy": "strategies"}
_log = logging.getLogger(__name__)


def plural(kind: Kind) -> str:
    """Return the word for several of a kind: `strategies`."""
    return _PLURALS.get(kind, f"{kind}s")


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """A plugin that was found: where it came from, what it brings, and what is wrong with it.

    Attributes:
        name: Of its entry point.
        distribution: That it was installed with; empty where unknown.
        version: Of the distribution.
        components: How many it brings; 0 for one that did not load.
        error: Why it did not load. For one that did (`components` > 0): a name that another
            plugin offers too.
    """

    name: str
    distribution: str
    version: str
    components: int = 0
    error: str | None = None

    @property
    def label(self) -> str:
        """`distribution version`, or the plugin's name where it has no distribution."""
        return f"{self.distribution} {self.version}".strip() or self.name


@dataclass(frozen=True, slots=True)
class Offer:
    """One component that a plugin offers."""

    kind: Kind
    name: str
    summary: str
    parameter: str | None
    plugin: PluginInfo
    target: type[Component] | Entry | Family

    @property
    def signature(self) -> str:
        """The name as a person types it: `longtail:R`."""
        return f"{self.name}:{self.parameter}" if self.parameter else self.name

    @property
    def against(self) -> tuple[str, ...]:
        """Names of the verdict's reasons that a strategy is meant to mend."""
        named = getattr(self.target, "against", ())
        # A class may say anything; what an Entry says was checked when its plugin was loaded.
        return tuple(one for one in named if isinstance(one, str)) if type(named) is tuple else ()


@dataclass(frozen=True, slots=True)
class Catalog:
    """Every component by kind and name. Immutable; nothing of it is global.

    `packaged_weights` are those of the built-ins first, then by plugin: the first that is at hand
    serves a backbone.
    """

    offers: Mapping[tuple[Kind, str], tuple[Offer, ...]]
    families: Mapping[Kind, tuple[Offer, ...]]
    plugins: tuple[PluginInfo, ...]
    packaged_weights: tuple[PackagedWeights, ...] = ()

    @property
    def broken(self) -> tuple[PluginInfo, ...]:
        """Plugins that did not load."""
        return tuple(plugin for plugin in self.plugins if plugin.error and not plugin.components)

    def listing(self, kind: Kind) -> list[Offer]:
        """Return what is offered of a kind, by name; open families come last.

        A name that two plugins offer is there twice.
        """
        named = [offer for (of, _), same in self.offers.items() if of == kind for offer in same]
        return [*sorted(named, key=lambda offer: offer.name), *self.families.get(kind, ())]

    def names(self, kind: Kind) -> list[str]:
        """Return the names of a kind, without those of open families."""
        return sorted(name for of, name in self.offers if of == kind)

    def family_names(self, offer: Offer) -> list[str]:
        """Return the names of an open family; none, and a warning, where it is broken."""
        try:
            return family_names(offer)
        except SftbenchError as error:
            _log.warning("%s", error)
            return []

    def get(self, kind: Kind, name: str) -> type[Component]:
        """Return the class of a component by its name without parameter.

        Raises:
            RequestError: Unknown, offered twice, or its module does not load.
        """
        return self.owner(kind, name)[0]

    def owner(self, kind: Kind, name: str) -> tuple[type[Component], PluginInfo]:
        """Return the class of a component, and the plugin that brings it.

        Raises:
            RequestError: Unknown, offered twice, or its module does not load.
        """
        offers = self.offers.get((kind, name), ())
        if len(offers) > 1:
            raise RequestError(conflict(offers, self.plugins))
        if offers:
            return _load_class(offers[0]), offers[0].plugin
        # A family that breaks must not hide the name in the next one.
        problems: list[str] = []
        for offer in self._families(kind, name):
            try:
                found = _resolve(offer, name)
            except _FamilyError as error:
                problems.append(str(error))
                continue
            if found is not None:
                return found, offer.plugin
        raise RequestError(self._unknown(kind, name, problems))

    def create(
        self, kind: Kind, reference: str, settings: Mapping[str, Any] | None = None
    ) -> Component:
        """Build a component from `NAME` or `NAME:ARGUMENT` and its options.

        Raises:
            RequestError: Unknown name, a missing or needless parameter, a wrong option, or a
                component that fails when it is built.
        """
        name, argument = split_reference(reference)
        cls, plugin = self.owner(kind, name)
        values = dict(settings or {})
        where = f"{kind} {shown(reference)}"
        if argument is not None and cls.argument is None:
            raise RequestError(f"{kind} {name!r} takes no parameter, so not {shown(reference)}")
        try:
            if cls.argument is None:
                made = cls(validate(cls.options_model, values, where))
            else:
                made = _with_argument(cls, name, argument, values, where)
            made.bind(self.create)
        except SftbenchError:
            raise
        except Exception as error:
            raise RequestError(f"{where} of {plugin.label} fails: {cause(error)}") from error
        return made

    def _families(self, kind: Kind, name: str) -> list[Offer]:
        """Return the families to ask for a name."""
        if not is_valid_name(name):
            return []
        return [
            offer
            for offer in self.families.get(kind, ())
            if name.startswith(cast("Family", offer.target).prefix)
        ]

    def _unknown(self, kind: Kind, name: str, problems: list[str]) -> str:
        known = self.names(kind)
        if kind == "backbone":
            known += [packaged.backbone for packaged in self.packaged_weights]
        for offer in self._families(kind, name):
            try:
                known.extend(family_names(offer))
            except SftbenchError as error:
                problems.append(str(error))
        parts = [unknown_name(kind, name, known, plural(kind)), *dict.fromkeys(problems)]
        parts += [
            f"plugin {plugin.name!r} ({plugin.label}) did not load and may have it: {plugin.error}"
            for plugin in self.broken
        ]
        return "; ".join(parts)


def conflict(offers: Iterable[Offer], plugins: Iterable[PluginInfo]) -> str:
    """Say that plugins offer one name, and which values of SFTBENCH_PLUGINS choose among them.

    Args:
        offers: Those of one kind and name, from more than one plugin.
        plugins: Every plugin of the catalog.
    """
    offers = tuple(offers)
    rivals = [offer.plugin.name for offer in offers]
    loaded = [plugin for plugin in plugins if plugin.components and plugin.name != BUILTIN]
    choices = []
    # The built-ins always load, so where one of them is meant too, only the others can go.
    for kept in [BUILTIN] if BUILTIN in rivals else rivals:
        tokens = [_token(p, loaded) for p in loaded if p.name == kept or p.name not in rivals]
        choices.append(f"SFTBENCH_PLUGINS={','.join(tokens) or repr('')}")
    whose = " and ".join(f"{offer.plugin.name!r} ({offer.plugin.label})" for offer in offers)
    what = f"{offers[0].kind} {offers[0].name!r}"
    return f"{what} is offered by {whose}; choose with {' or '.join(choices)}"


def _token(plugin: PluginInfo, loaded: Iterable[PluginInfo]) -> str:
    """Return the word for a plugin in SFTBENCH_PLUGINS, where distributions go before names."""
    taken = {other.distribution for other in loaded if other.name != plugin.name}
    return plugin.distribution if plugin.name in taken else plugin.name


def class_problem(loaded: object, kind: Kind) -> str | None:
    """Say why an object cannot serve as component of a kind, or None."""
    return next(_class_problems(loaded, KINDS[kind]), None)


def _class_problems(loaded: object, wanted: type[Component]) -> Iterator[str]:
    if not (isinstance(loaded, type) and issubclass(loaded, wanted)):
        yield f"is not a subclass of sftbench.api.{wanted.__name__}"
        return
    missing = sorted(getattr(loaded, "__abstractmethods__", ()))
    if missing:
        yield f"lacks {', '.join(f'{method}()' for method in missing)}"
    name = getattr(loaded, "name", None)
    if not isinstance(name, str) or not is_valid_name(name):
        yield f"has the name {shown(name)}, not a valid one (letters, digits, ._/=+-)"
    if not isinstance(loaded.summary, str):
        yield f"has the summary {shown(loaded.summary)}, which is no text"
    version = loaded.algorithm_version
    if type(version) is not int or version < 1:
        yield f"has the algorithm_version {shown(version)}, which is no count from 1"
    model = loaded.options_model
    if not (isinstance(model, type) and issubclass(model, Options)):
        yield "has an options_model that is no subclass of sftbench.api.Options"
    elif loaded.argument is not None and loaded.argument not in model.model_fields:
        yield f"has the argument {shown(loaded.argument)}, which is none of its options"


def _with_argument(
    cls: type[Component], name: str, argument: str | None, values: dict[str, Any], where: str
) -> Component:
    """Build a component whose parameter stands behind a colon, in the options, or in both."""
    key = cls.argument or ""
    from_options = key in values
    required = cls.options_model.model_fields[key].is_required()
    if argument == "" or (argument is None and required and not from_options):
        kind = where.partition(" ")[0]
        raise RequestError(f"{kind} {name!r} needs a parameter: {name}:{key.upper()}")
    if argument is None:
        return cls(validate(cls.options_model, values, where))
    component = cls(validate(cls.options_model, {**values, key: argument}, where))
    if not from_options:
        return component
    other = cls(validate(cls.options_model, values, where))
    if other.reference != component.reference:
        raise RequestError(f"{where}: option {key} says otherwise: {shown(values[key])}")
    # The number in a reference is rounded, that in the options is not.
    return other


class _FamilyError(RequestError):
    """What a family did instead of answering, in one line."""


@contextmanager
def _guard(what: str, raised: type[Exception]) -> Iterator[None]:
    """Turn whatever a plugin's code raises into `raised`; what is meant for a person passes."""
    try:
        yield
    except (KeyboardInterrupt, SftbenchError):
        raise
    except BaseException as error:
        raise raised(f"{what}: {cause(error)}") from error


def _import(path: str) -> Any:
    module, colon, attribute = path.partition(":")
    if not (module and colon and attribute):
        raise ValueError("not of the form package.module:attribute")
    return getattr(importlib.import_module(module), attribute)


def _load_class(offer: Offer) -> type[Component]:
    if isinstance(offer.target, type):
        return offer.target
    what = f"{offer.kind} {offer.name!r} of {offer.plugin.label}"
    path = shown(offer.target.load)
    with _guard(f"{what} does not load from {path}", RequestError):
        loaded = _import(offer.target.load)
        problem = class_problem(loaded, offer.kind)
    if problem is None and loaded.name != offer.name:
        problem = f"has the name {loaded.name!r}"
    if problem is not None:
        raise RequestError(f"{what}: {path} {problem}")
    return cast("type[Component]", loaded)


def _resolve(offer: Offer, name: str) -> type[Component] | None:
    """Ask a family for a name.

    Raises:
        SftbenchError: The family knows the name, and says why it cannot be had.
        _FamilyError: It broke.
    """
    resolver = resolve_family(offer)
    what = f"{_family(offer)} may have it, but resolve({name!r})"
    with _guard(f"{what} raised", _FamilyError):
        found = resolver.resolve(name)
        problem = None if found is None else class_problem(found, offer.kind)
    if problem is not None:
        raise _FamilyError(f"{what}: {problem}")
    return found


def family_names(offer: Offer) -> list[str]:
    """Return every valid name of an open family; imports what the family needs.

    Raises:
        RequestError: The family does not load, or its resolver raised.
    """
    resolver = resolve_family(offer)
    with _guard(f"{_family(offer)} may have it, but names() raised", _FamilyError):
        names = list(resolver.names())
        return [name for name in names if isinstance(name, str) and is_valid_name(name)]


def resolve_family(offer: Offer) -> Resolver:
    """Import the resolver of an open family.

    Raises:
        RequestError: It does not load, or lacks a method.
    """
    path = cast("Family", offer.target).load
    what = f"{_family(offer)} may have it, but {shown(path)}"
    with _guard(f"{what} does not load", _FamilyError):
        loaded = _import(path)
        complete = isinstance(loaded, Resolver)
    if not complete:
        raise _FamilyError(f"{what} lacks names() or resolve()")
    return cast("Resolver", loaded)


def _family(offer: Offer) -> str:
    return f"{offer.kind} family {offer.name!r} ({offer.plugin.label})"
