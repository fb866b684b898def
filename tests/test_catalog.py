from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from plugin_sources import GOOD, HEAD, returning, strategy

from sftbench.catalog import KINDS, Catalog, PluginInfo, family_names, plural, resolve_family
from sftbench.contracts.component import Component, Kind
from sftbench.discovery import build_catalog
from sftbench.errors import RequestError, UnavailableError

MakePlugin = Callable[..., Path]

BUILT_INS = build_catalog(chosen="")
EVERY = [(kind, name) for kind, name in BUILT_INS.offers]

# A strategy with options, whose parameter is `ratio`.
OPTIONS = """
from pydantic import Field
from sftbench.api import Options, Strategy, hookimpl

class Ratio(Options):
    ratio: float = Field(gt=0)
    tau: float = 1.0

class Scaled(Strategy):
    name = "scaled"
    summary = "scales"
    options_model = Ratio
    argument = "ratio"
    def stages(self, ctx):
        return []

class Optional(Ratio):
    ratio: float = 2.0

class Lenient(Scaled):
    name = "lenient"
    options_model = Optional

class Fails(Strategy):
    name = "fails"
    def __init__(self, options=None):
        raise KeyError("no\\nway")
    def stages(self, ctx):
        return []

@hookimpl
def sftbench_strategies():
    return [Scaled, Lenient, Fails]
"""
FAMILY = """
from sftbench.api import Backbone, Family, Strategy, hookimpl

class Net(Backbone):
    name = "hub/net"
    def info(self): ...
    def build(self, image_size): ...
    def pretrained(self, network): ...

class Wrong(Strategy):
    name = "wrong"
    def stages(self, ctx): ...

class Hub:
    def names(self):
        return ["hub/net", "hub/sick", "../x", 7, "\\x1b[31m"]
    def resolve(self, name):
        if name == "hub/sick":
            raise ValueError("cannot\\nbe")
        if name == "hub/exit":
            raise SystemExit(9)
        if name == "hub/wrong":
            return Wrong
        if name == "hub/gone":
            from sftbench.api import UnavailableError
            raise UnavailableError("hub/gone: buy it")
        return Net if name == "hub/net" else None

hub = Hub()

class NoNames:
    def resolve(self, name): return None

no_names = NoNames()

class SickNames:
    def names(self): raise RuntimeError("tired")
    def resolve(self, name): return None

sick_names = SickNames()

@hookimpl
def sftbench_backbones():
    return [Family("hub", "LOAD", "a hub", prefix="hub/", example="hub/net")]
"""


def refusal(catalog: Catalog, reference: str, kind: Kind = "strategy", **settings: Any) -> str:
    with pytest.raises(RequestError) as caught:
        catalog.create(kind, reference, settings)
    assert type(caught.value.exit_code) is int
    assert str(caught.value).isprintable()
    return str(caught.value)


def asked(catalog: Catalog, name: str, kind: Kind = "strategy") -> str:
    with pytest.raises(RequestError) as caught:
        catalog.get(kind, name)
    assert str(caught.value).isprintable()
    return str(caught.value)


def alone(name: str) -> Catalog:
    """Return the catalog of one plugin without the built-ins, whose names change."""
    return build_catalog(entry_points(group="sftbench", name=name))


# ---- the built-ins -----------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_every_built_in_loads_and_has_the_name_of_its_entry(kind: Kind, name: str) -> None:
    cls, owner = BUILT_INS.owner(kind, name)

    assert cls.name == name
    assert issubclass(cls, KINDS[kind])
    assert cls.summary
    assert owner.name == "builtin"
    assert owner.label == "sftbench 0.1.0"


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_the_listing_shows_a_parameter_where_the_class_has_one(kind: Kind, name: str) -> None:
    [offer] = BUILT_INS.offers[kind, name]
    cls = BUILT_INS.get(kind, name)

    assert (offer.parameter is None) == (cls.argument is None)
    assert offer.signature == (name if offer.parameter is None else f"{name}:{offer.parameter}")


def test_listing_is_sorted_with_families_last() -> None:
    names = [offer.name for offer in BUILT_INS.listing("backbone")]

    assert names == ["cifar-resnet32", "torchvision", "timm"]
    strategies = [offer.name for offer in BUILT_INS.listing("strategy")]
    assert strategies[-1] == "composite"
    assert strategies[:-1] == sorted(strategies[:-1]) == BUILT_INS.names("strategy")
    assert "longtail:R" in [offer.signature for offer in BUILT_INS.listing("variant")]


def test_a_component_with_its_parameter_and_canonical_reference() -> None:
    component = BUILT_INS.create("variant", "longtail:100.0")

    assert component.reference == "longtail:100"


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("strategy", "fulll", "unknown strategy 'fulll'; did you mean 'full'?"),
        ("strategy", "", "unknown strategy ''; "),
        ("variant", "longtial", "unknown variant 'longtial'; did you mean 'longtail'?"),
        ("metric", "qqqq", "unknown metric 'qqqq'; see: sftbench list metrics"),
        ("task", "zzzz", "unknown task 'zzzz'; known: contrastive, image-classification"),
        ("strategy", "../full", "unknown strategy '../full'; did you mean 'full'?"),
        (
            "backbone",
            "../\x1b[31m",
            (
                r"unknown backbone '../\x1b[31m'; known: cifar-resnet32, mobilenetv2_100, "
                "tf_efficientnet_lite0, tf_efficientnet_lite1, tf_efficientnet_lite2, "
                "torchvision/mobilenet_v2"
            ),
        ),
    ],
)
def test_unknown_name(kind: Kind, name: str, message: str) -> None:
    found = asked(BUILT_INS, name, kind)

    assert found.startswith(message)
    assert "may have it" not in found


def test_plurals() -> None:
    assert [plural(kind) for kind in KINDS] == [
        "backbones",
        "datasets",
        "variants",
        "strategies",
        "tasks",
        "metrics",
        "executors",
        "trackers",
    ]


def test_the_catalog_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        BUILT_INS.plugins = ()  # type: ignore[misc]
    with pytest.raises(TypeError):
        BUILT_INS.offers["strategy", "x"] = ()  # type: ignore[index]
    with pytest.raises(TypeError):
        BUILT_INS.families["strategy"] = ()  # type: ignore[index]


def test_label_of_a_plugin_without_distribution() -> None:
    assert PluginInfo("mine", "", "").label == "mine"
    assert PluginInfo("mine", "dist", "").label == "dist"
    assert pickle.loads(pickle.dumps(PluginInfo("mine", "dist", "1"))).label == "dist 1"


# ---- entries -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("load", "error"),
    [
        (
            "no_such_module:X",
            (
                "does not load from 'no_such_module:X': ModuleNotFoundError: "
                "No module named 'no_such_module'"
            ),
        ),
        (
            "lazy:Nothing",
            (
                "does not load from 'lazy:Nothing': AttributeError: "
                "module 'lazy' has no attribute 'Nothing'"
            ),
        ),
        (
            "lazy",
            "does not load from 'lazy': ValueError: not of the form package.module:attribute",
        ),
        ("", "does not load from '': ValueError: not of the form package.module:attribute"),
        ("exits:X", "does not load from 'exits:X': SystemExit: 4"),
        ("lazy:HEAD", "'lazy:HEAD' is not a subclass of sftbench.api.Strategy"),
        ("lazy:Dataset", "'lazy:Dataset' is not a subclass of sftbench.api.Strategy"),
        ("lazy:instance", "'lazy:instance' is not a subclass of sftbench.api.Strategy"),
        ("lazy:Strategy", "'lazy:Strategy' lacks stages()"),
        ("lazy:Mine", "'lazy:Mine' has the name 'mine'"),
    ],
)
def test_entry_that_does_not_load_errs_when_asked_for(
    make_plugin: MakePlugin, load: str, error: str
) -> None:
    source = returning(f"[Entry('late', {load!r}, 'comes late'), Mine]")
    make_plugin("lazy", f"{source}\nHEAD = 'text'\ninstance = Mine()\n")
    make_plugin("exits", "raise SystemExit(4)", entry_point="unused = lazy")
    catalog = build_catalog(chosen="lazy")

    assert catalog.broken == ()
    assert [offer.name for offer in catalog.listing("strategy") if offer.plugin.name == "lazy"] == [
        "late",
        "mine",
    ]
    assert catalog.get("strategy", "mine").name == "mine"
    separator = ": " if error.startswith("'") else " "
    assert asked(catalog, "late") == f"strategy 'late' of lazy 1.0{separator}{error}"


def test_entry_loads_when_asked_for_and_not_before(make_plugin: MakePlugin) -> None:
    make_plugin("heavy", strategy("late"))
    make_plugin("lazy", returning("[Entry('late', 'heavy:Good', 'comes late')]"))

    catalog = build_catalog(chosen="lazy")
    assert "heavy" not in sys.modules

    assert catalog.get("strategy", "late").name == "late"
    assert "heavy" in sys.modules


# ---- options and parameters --------------------------------------------------------------------


@pytest.fixture
def scaled(make_plugin: MakePlugin) -> Catalog:
    make_plugin("optioned", OPTIONS)
    return alone("optioned")


def options(component: Component) -> dict[str, Any]:
    return component.options.model_dump()


def test_parameter_and_options(scaled: Catalog) -> None:
    create = scaled.create

    assert options(create("strategy", "scaled:3")) == {"ratio": 3.0, "tau": 1.0}
    assert options(create("strategy", "scaled:3", {"tau": "2"})) == {"ratio": 3.0, "tau": 2.0}
    assert options(create("strategy", "scaled", {"ratio": 4})) == {"ratio": 4.0, "tau": 1.0}
    assert options(create("strategy", "lenient")) == {"ratio": 2.0, "tau": 1.0}
    assert options(create("strategy", "lenient:5")) == {"ratio": 5.0, "tau": 1.0}


def test_a_cell_names_its_parameter_twice_and_the_exact_number_counts(scaled: Catalog) -> None:
    made = scaled.create("strategy", "scaled", {"ratio": 1 / 3})
    assert made.reference == "scaled:0.3333333333333333"

    again = scaled.create("strategy", made.reference, options(made))

    assert options(again) == options(made) == {"ratio": 1 / 3, "tau": 1.0}


@pytest.mark.parametrize(
    ("reference", "settings", "message"),
    [
        ("scaled", {}, "strategy 'scaled' needs a parameter: scaled:RATIO"),
        ("scaled:", {}, "strategy 'scaled' needs a parameter: scaled:RATIO"),
        ("lenient:", {}, "strategy 'lenient' needs a parameter: lenient:RATIO"),
        ("fails:3", {}, "strategy 'fails' takes no parameter, so not 'fails:3'"),
        ("fails:", {}, "strategy 'fails' takes no parameter, so not 'fails:'"),
        (
            "scaled:0",
            {},
            "strategy 'scaled:0': ratio = '0': input should be greater than 0",
        ),
        (
            "scaled:\x1b[1m",
            {},
            (
                r"strategy 'scaled:\x1b[1m': ratio = '\x1b[1m': input should be a valid number, "
                "unable to parse string as a number"
            ),
        ),
        (
            "scaled:3",
            {"tua": 1},
            "strategy 'scaled:3' has no option 'tua'; did you mean 'tau'? options: ratio, tau",
        ),
        (
            "scaled:3",
            {"ratio": 4},
            "strategy 'scaled:3': option ratio says otherwise: 4",
        ),
        ("fails", {}, r"strategy 'fails' of optioned 1.0 fails: KeyError: 'no\nway'"),
        ("scale:3", {}, "unknown strategy 'scale'; did you mean 'scaled'?"),
    ],
)
def test_refused_reference(
    scaled: Catalog, reference: str, settings: dict[str, Any], message: str
) -> None:
    assert refusal(scaled, reference, **settings) == message


# ---- families ----------------------------------------------------------------------------------


def hub(make_plugin: MakePlugin, load: str = "hubs:hub") -> Catalog:
    make_plugin("hubs", FAMILY.replace("LOAD", load))
    return alone("hubs")


def test_family_answers(make_plugin: MakePlugin) -> None:
    catalog = hub(make_plugin)

    cls, owner = catalog.owner("backbone", "hub/net")

    assert cls.name == "hub/net"
    assert owner.name == "hubs"
    [offer] = [offer for offer in catalog.listing("backbone") if offer.name == "hub"]
    assert family_names(offer) == ["hub/net", "hub/sick"]
    assert resolve_family(offer).resolve("hub/none") is None


def test_family_knows_near_names(make_plugin: MakePlugin) -> None:
    assert asked(hub(make_plugin), "hub/nett", "backbone") == (
        "unknown backbone 'hub/nett'; did you mean 'hub/net' or 'hub/sick'?"
    )


@pytest.mark.parametrize(
    ("load", "name", "problem"),
    [
        ("hubs:hub", "hub/sick", "resolve('hub/sick') raised: ValueError: cannot be"),
        ("hubs:hub", "hub/exit", "resolve('hub/exit') raised: SystemExit: 9"),
        (
            "hubs:hub",
            "hub/wrong",
            "resolve('hub/wrong'): is not a subclass of sftbench.api.Backbone",
        ),
        ("hubs:no_names", "hub/net", "'hubs:no_names' lacks names() or resolve()"),
        ("hubs:sick_names", "hub/net", "names() raised: RuntimeError: tired"),
        (
            "hubs:nothing",
            "hub/net",
            (
                "'hubs:nothing' does not load: AttributeError: "
                "module 'hubs' has no attribute 'nothing'"
            ),
        ),
        (
            "no_such:x",
            "hub/net",
            "'no_such:x' does not load: ModuleNotFoundError: No module named 'no_such'",
        ),
    ],
)
def test_broken_family(make_plugin: MakePlugin, load: str, name: str, problem: str) -> None:
    catalog = hub(make_plugin, load)

    assert catalog.broken == ()
    message = asked(catalog, name, "backbone")
    assert message.startswith(f"unknown backbone '{name}'; ")
    assert message.endswith(f"; backbone family 'hub' (hubs 1.0) may have it, but {problem}")
    assert message.count("may have it") == 1


def test_a_broken_family_has_no_names_and_says_so(
    make_plugin: MakePlugin, caplog: pytest.LogCaptureFixture
) -> None:
    whole = hub(make_plugin)
    assert whole.family_names(*whole.families["backbone"]) == ["hub/net", "hub/sick"]
    assert caplog.messages == []
    [offer] = whole.families["backbone"]
    broken = replace(offer, target=replace(offer.target, load="hubs:sick_names"))  # type: ignore[type-var]

    assert whole.family_names(broken) == []

    assert caplog.messages == [
        "backbone family 'hub' (hubs 1.0) may have it, but names() raised: RuntimeError: tired"
    ]


def test_family_may_say_itself_why_a_name_cannot_be_had(make_plugin: MakePlugin) -> None:
    with pytest.raises(UnavailableError, match=r"^hub/gone: buy it$"):
        hub(make_plugin).get("backbone", "hub/gone")


def test_a_broken_family_hides_nothing_of_the_next(make_plugin: MakePlugin) -> None:
    make_plugin("breaks", FAMILY.replace("LOAD", "no_such:x").replace("'hub'", "'bad'"))
    make_plugin("hubs", FAMILY.replace("LOAD", "hubs:hub"))

    assert build_catalog(chosen="breaks,hubs").get("backbone", "hub/net").name == "hub/net"


def test_a_family_is_asked_only_for_its_prefix(make_plugin: MakePlugin) -> None:
    catalog = hub(make_plugin, "no_such:x")

    assert asked(catalog, "other/net", "backbone") == "unknown backbone 'other/net'; known: none"


def test_a_component_goes_before_a_family(make_plugin: MakePlugin) -> None:
    source = FAMILY.replace("LOAD", "no_such:x").replace("return [Family", "return [Net, Family")
    make_plugin("hubs", source)

    assert build_catalog(chosen="hubs").get("backbone", "hub/net").__module__ == "hubs"


# ---- broken plugins in the answer --------------------------------------------------------------


def test_unknown_name_names_every_broken_plugin(make_plugin: MakePlugin) -> None:
    make_plugin("bad", "raise ValueError('one')", distribution="dist-bad")
    make_plugin("worse", "raise OSError('two')", version="2")
    make_plugin("good", GOOD)

    assert asked(build_catalog(), "good-oen") == (
        "unknown strategy 'good-oen'; did you mean 'good-one'?"
        "; plugin 'bad' (dist-bad 1.0) did not load and may have it: ValueError: one"
        "; plugin 'worse' (worse 2) did not load and may have it: OSError: two"
    )


def test_many_names_are_not_listed_in_the_answer(make_plugin: MakePlugin) -> None:
    make_plugin("many", returning("[Entry(f'name{i}', 'a:B', '') for i in range(13)]"))

    assert asked(alone("many"), "qqqq") == (
        "unknown strategy 'qqqq'; see: sftbench list strategies"
    )
    assert asked(alone("many"), "strategys/qqqqqq") == (
        "unknown strategy 'strategys/qqqqqq'; see: sftbench list strategies"
    )


def test_mutating_what_a_plugin_returned_changes_nothing(make_plugin: MakePlugin) -> None:
    make_plugin(
        "keeps",
        HEAD + "listed = [Mine]\n@hookimpl\ndef sftbench_strategies():\n    return listed\n",
    )
    catalog = build_catalog()

    sys.modules["keeps"].listed.clear()

    assert catalog.get("strategy", "mine").name == "mine"
    assert "mine" not in build_catalog().names("strategy")
