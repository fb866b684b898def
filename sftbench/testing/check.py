"""Check a component, or everything that an installed plugin brings."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from typing import Any, cast

from sftbench.catalog import (
    BUILTIN,
    KINDS,
    Catalog,
    Offer,
    class_problem,
    resolve_family,
)
from sftbench.contracts.backbone import Backbone
from sftbench.contracts.component import Component, Family, Kind
from sftbench.contracts.weights import PackagedWeights
from sftbench.discovery import GROUP, build_catalog
from sftbench.errors import RequestError
from sftbench.names import one_line, unknown_name
from sftbench.testing.any_kind import ANY_KIND, AnyKind
from sftbench.testing.backbones import BACKBONE, BackboneSubject
from sftbench.testing.data import DATASET, VARIANT, DatasetSubject, VariantSubject
from sftbench.testing.execution import EXECUTOR, TRACKER
from sftbench.testing.findings import BlockedError, Finding, UncheckedError, apply
from sftbench.testing.metrics import METRIC, MetricSubject
from sftbench.testing.strategies import STRATEGY, StrategySubject
from sftbench.testing.tasks import TASK, TaskSubject
from sftbench.testing.tiny import tiny_process
from sftbench.weights import locate

_Rules = tuple[Callable[[Any], str | None], ...]
_Subject = Callable[[Any, AnyKind], object]

_BY_KIND: Mapping[Kind, tuple[_Rules, _Subject]] = {
    "backbone": (BACKBONE, lambda made, _: BackboneSubject(made)),
    "dataset": (DATASET, lambda made, _: DatasetSubject(made)),
    "variant": (VARIANT, lambda made, _: VariantSubject(made)),
    "strategy": (STRATEGY, lambda made, about: StrategySubject(made, about.base)),
    "task": (TASK, lambda made, about: TaskSubject(made, about.catalog())),
    "metric": (METRIC, lambda made, _: MetricSubject(made)),
    "executor": (EXECUTOR, lambda made, _: made),
    "tracker": (TRACKER, lambda made, _: made),
}
# Lists what a plugin offers and loads its tasks and metrics, which reports need, in a process of
# its own; prints what brought torch.
_IMPORTS = """
import sys
from sftbench.discovery import build_catalog
catalog = build_catalog(chosen=sys.argv[1])
where = "listing it" if "torch" in sys.modules else ""
for kind in ("task", "metric"):
    for offer in catalog.listing(kind):
        if not where and hasattr(offer.target, "load"):
            catalog.get(kind, offer.name)
            where = f"loading {kind} {offer.name!r}" if "torch" in sys.modules else ""
print(where)
"""


def check_component(
    kind: Kind, component: type[Component], *, base: Catalog | None = None
) -> list[Finding]:
    """Try every rule of a kind on a component's class.

    A strategy trains a tiny network for a few steps on the CPU; a backbone is built at 32 pixels
    where it can be; a data set is loaded.

    Args:
        kind: What it should be.
        component: Its class; a parameter is taken from its `example`.
        base: Where other components of its plugin are found; None: the built-ins.
    """
    problem = class_problem(component, kind)
    name = getattr(component, "name", None) or component.__name__
    label = one_line(f"{kind} {name}")
    findings = [Finding(label, "class is sound", problem)]
    if problem is not None:
        return findings
    with tiny_process():
        about = AnyKind(kind, component, base)
        findings += apply(ANY_KIND, about, label)
        try:
            made = about.component()
        except (BlockedError, UncheckedError):
            return findings
        rules, subject_of = _BY_KIND[kind]
        return findings + apply(rules, subject_of(made, about), label)


def check_plugin(name: str) -> list[Finding]:
    """Try every rule on all that an installed plugin brings.

    Open families are not walked: only their example is resolved.

    Args:
        name: Of its distribution or entry point.

    Raises:
        RequestError: It is not installed, or does not load.
    """
    points = list(importlib.metadata.entry_points(group=GROUP))
    _check_installed(name, points)
    catalog = build_catalog(points, chosen=name)
    plugins = [plugin for plugin in catalog.plugins if plugin.name != BUILTIN] or [*catalog.plugins]
    for plugin in plugins:
        if plugin.error:
            raise RequestError(f"plugin {plugin.name!r} ({plugin.label}): {plugin.error}")
    findings = apply((import_brings_no_torch,), name, f"plugin {name}")
    for kind in KINDS:
        for offer in catalog.listing(kind):
            if offer.plugin.name in {plugin.name for plugin in plugins}:
                findings += _check_offer(offer, catalog)
    known = () if plugins[0].name == BUILTIN else build_catalog(points, chosen="").packaged_weights
    for packaged in catalog.packaged_weights:
        if packaged not in known:
            label = one_line(f"weights {packaged.backbone}")
            findings += apply((the_packaged_weights_fit,), (packaged, catalog), label)
    return findings


def import_brings_no_torch(plugin: str) -> str | None:
    """Lists and reports must answer at once: torch comes when a component is used."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(  # noqa: S603 - this interpreter, and a script of this module
        [sys.executable, "-c", _IMPORTS, plugin],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        return f"listing it failed: {one_line(done.stderr[-300:])}"
    where = done.stdout.strip()
    return f"{where} imports torch; import it inside the method that needs it" if where else None


def _check_installed(name: str, points: list[EntryPoint]) -> None:
    known = {point.name for point in points}
    known |= {point.dist.name for point in points if point.dist is not None}
    folded = {text.lower().replace("_", "-").replace(".", "-") for text in known}
    if name not in known and name.lower().replace("_", "-").replace(".", "-") not in folded:
        raise RequestError(f"{unknown_name('plugin', name, known)}; see: sftbench plugins list")


def _check_offer(offer: Offer, catalog: Catalog) -> list[Finding]:
    if isinstance(offer.target, Family):
        return apply((the_example_resolves,), offer, f"{offer.kind} family {offer.name}")
    label = f"{offer.kind} {offer.name}"
    try:
        cls = catalog.get(offer.kind, offer.name)
    except RequestError as error:
        return [Finding(label, "can be loaded", str(error))]
    findings = apply((entry_and_class_agree,), (offer, cls), label)
    return findings + check_component(offer.kind, cls, base=catalog)


def entry_and_class_agree(both: tuple[Offer, type[Component]]) -> str | None:
    """A lazy entry names a parameter exactly where the class takes one."""
    offer, cls = both
    if (offer.parameter is None) == (cls.argument is None):
        return None
    return f"the entry's parameter is {offer.parameter!r}, the class's argument {cls.argument!r}"


def the_packaged_weights_fit(both: tuple[PackagedWeights, Catalog]) -> str | None:
    """The file of a package gives every tensor of its backbone, under the network's names."""
    from sftbench.models.starting import read_packaged

    packaged, catalog = both
    path = locate(packaged)
    if path is None:
        raise UncheckedError(f"package {packaged.package}=={packaged.version} is not here")
    backbone = cast("Backbone", catalog.create("backbone", packaged.backbone))
    network = backbone.build(backbone.info().image_size)
    network.load_state_dict(dict(read_packaged(packaged, network, path).state))
    return None


def the_example_resolves(offer: Offer) -> str | None:
    """A family knows the name that it gives as its example, and no other family's."""
    family = cast("Family", offer.target)
    if not family.example.startswith(family.prefix):
        return f"example {family.example!r} does not begin with prefix {family.prefix!r}"
    resolver = resolve_family(offer)
    found = resolver.resolve(family.example)
    problem = "is unknown to it" if found is None else class_problem(found, offer.kind)
    if problem is not None:
        return f"example {family.example!r} {problem}"
    strange = f"{family.prefix}no-such-name-of-any-family"
    return None if resolver.resolve(strange) is None else f"it resolves {strange!r}"
