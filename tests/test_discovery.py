from __future__ import annotations

import importlib.metadata
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, distributions, entry_points
from pathlib import Path

import pytest
from plugin_sources import GOOD, HEAD, returning, strategy

from sftbench.catalog import Catalog, PluginInfo
from sftbench.contracts.component import Family
from sftbench.discovery import build_catalog
from sftbench.errors import RequestError

MakePlugin = Callable[..., Path]


@pytest.fixture(autouse=True)
def _no_plugin_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide what is installed beside sftbench, so that messages name the test's plugins alone."""
    found = entry_points(group="sftbench")
    others = {point for point in found if point.name != "builtin"}
    monkeypatch.setattr(
        importlib.metadata,
        "entry_points",
        lambda group: [point for point in entry_points(group=group) if point not in others],
    )


def plugin(catalog: Catalog, name: str) -> PluginInfo:
    [found] = [info for info in catalog.plugins if info.name == name]
    return found


def offered_by(catalog: Catalog, name: str) -> list[str]:
    offers = [offer for same in catalog.offers.values() for offer in same]
    offers += [offer for same in catalog.families.values() for offer in same]
    return sorted(offer.name for offer in offers if offer.plugin.name == name)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("thing = good:NoSuch", "AttributeError: module 'good' has no attribute 'NoSuch'"),
        ("thing = good:__doc__", "has no hook; hooks: sftbench_backbones, "),
        ("thing = not/a:module", "entry point leads to 'not/a:module', not to MODULE:ATTRIBUTE"),
    ],
)
def test_entry_point_that_leads_nowhere(make_plugin: MakePlugin, value: str, error: str) -> None:
    make_plugin("good", GOOD, entry_point=value)

    [broken] = build_catalog().broken

    assert broken.name == "thing"
    assert broken.error is not None
    assert broken.error.startswith(error)


def test_plugin_may_be_an_object_of_a_module(make_plugin: MakePlugin) -> None:
    source = HEAD + (
        "class Plugin:\n    @hookimpl\n    def sftbench_strategies(self):\n        return (Mine,)\n"
        "    @property\n    def explodes(self): raise RuntimeError\n"
        "    def __bool__(self): return False\n"
        "instance = Plugin()\n"
    )
    make_plugin("objects", source, entry_point="thing = objects:instance")

    catalog = build_catalog()

    assert plugin(catalog, "thing") == PluginInfo("thing", "objects", "1.0", 1)
    assert offered_by(catalog, "thing") == ["mine"]


def test_specname_optional_hooks_and_defaults_are_as_pluggy_has_them(
    make_plugin: MakePlugin,
) -> None:
    source = HEAD + (
        "@hookimpl(specname='sftbench_strategies')\ndef mine(size=3, *args, **more):\n"
        "    return [Mine]\n"
        "@hookimpl(optionalhook=True)\ndef sftbench_of_next_year():\n    return None\n"
    )
    make_plugin("named", source)

    catalog = build_catalog()

    assert catalog.broken == ()
    assert offered_by(catalog, "named") == ["mine"]


def test_a_plugin_of_two_entry_points_loads_twice_and_conflicts(make_plugin: MakePlugin) -> None:
    make_plugin("good", GOOD)
    make_plugin("other", "", entry_point="again = good")

    catalog = build_catalog()

    assert catalog.broken == ()
    assert [offer.plugin.name for offer in catalog.offers["strategy", "good-one"]] == [
        "again",
        "good",
    ]


def test_summary_and_parameter_of_a_plugin_are_safe_to_print(make_plugin: MakePlugin) -> None:
    make_plugin("good", returning("[Entry('e', 'a:B', 'one\\ntwo\\x1b[2J', 'R\\x07')]"))

    [offer] = build_catalog().offers["strategy", "e"]

    assert offer.summary == r"one two\x1b[2J"
    assert offer.signature == r"e:R\x07"


# ---- two of one name ---------------------------------------------------------------------------


def test_two_plugins_with_one_component_name(make_plugin: MakePlugin) -> None:
    make_plugin("alpha", strategy("shared") + "\n", distribution="dist-a", version="1.5")
    make_plugin("beta", strategy("shared"), distribution="dist-b", version="2.0")
    make_plugin("gamma", strategy("apart"), distribution="dist-c")

    catalog = build_catalog()
    error = (
        "strategy 'shared' is offered by 'alpha' (dist-a 1.5) and 'beta' (dist-b 2.0); choose with "
        "SFTBENCH_PLUGINS=alpha,gamma or SFTBENCH_PLUGINS=beta,gamma"
    )

    assert catalog.broken == ()
    assert plugin(catalog, "alpha") == PluginInfo("alpha", "dist-a", "1.5", 1, error)
    assert plugin(catalog, "beta") == PluginInfo("beta", "dist-b", "2.0", 1, error)
    assert plugin(catalog, "gamma").error is None
    assert [o.plugin.name for o in catalog.listing("strategy") if o.name == "shared"] == [
        "alpha",
        "beta",
    ]
    with pytest.raises(RequestError) as caught:
        catalog.get("strategy", "shared")
    assert str(caught.value) == error
    assert catalog.get("strategy", "apart").__module__ == "gamma"
    with pytest.raises(RequestError) as caught:
        catalog.get("strategy", "nothing-like-it-at-all")
    assert "may have it" not in str(caught.value)


@pytest.mark.parametrize(
    ("chosen", "module"),
    [
        ("alpha,gamma", "alpha"),
        ("beta,gamma", "beta"),
        ("dist-b", "beta"),
        (" dist_A ,,gamma", "alpha"),
    ],
)
def test_what_the_conflict_advises_does_choose(
    make_plugin: MakePlugin, monkeypatch: pytest.MonkeyPatch, chosen: str, module: str
) -> None:
    make_plugin("alpha", strategy("shared"), distribution="dist-a")
    make_plugin("beta", strategy("shared"), distribution="Dist.B")
    make_plugin("gamma", strategy("apart"), distribution="dist-c")
    monkeypatch.setenv("SFTBENCH_PLUGINS", chosen)

    catalog = build_catalog()

    assert catalog.get("strategy", "shared").__module__ == module
    assert all(info.error is None for info in catalog.plugins)
    assert ("apart" in catalog.names("strategy")) is ("gamma" in chosen)


def test_a_built_in_name_can_only_be_kept(make_plugin: MakePlugin) -> None:
    make_plugin("alpha", strategy("full"))
    make_plugin("beta", strategy("apart"))

    def error() -> str | None:
        with pytest.raises(RequestError) as caught:
            build_catalog().get("strategy", "full")
        return str(caught.value)

    assert error() == (
        "strategy 'full' is offered by 'builtin' (sftbench 0.1.0) and 'alpha' (alpha 1.0); "
        "choose with SFTBENCH_PLUGINS=beta"
    )
    assert build_catalog(chosen="beta").owner("strategy", "full")[1].name == "builtin"
    assert build_catalog().get("strategy", "head-only").name == "head-only"


def test_a_built_in_name_of_the_only_plugin(make_plugin: MakePlugin) -> None:
    make_plugin("alpha", strategy("full"))

    with pytest.raises(RequestError, match=r"choose with SFTBENCH_PLUGINS=''$"):
        build_catalog().get("strategy", "full")


def test_conflict_where_a_plugin_has_the_name_of_anothers_distribution(
    make_plugin: MakePlugin,
) -> None:
    make_plugin("alpha", strategy("shared"), distribution="dist-a", entry_point="beta = alpha")
    make_plugin("gamma", strategy("shared"), distribution="beta")

    with pytest.raises(RequestError) as caught:
        build_catalog().get("strategy", "shared")

    assert str(caught.value).endswith(
        "choose with SFTBENCH_PLUGINS=dist-a or SFTBENCH_PLUGINS=gamma"
    )
    assert build_catalog(chosen="dist-a").get("strategy", "shared").__module__ == "alpha"
    assert build_catalog(chosen="gamma").get("strategy", "shared").__module__ == "gamma"
    assert build_catalog(chosen="beta").get("strategy", "shared").__module__ == "gamma"


def test_two_distributions_with_one_entry_point_name(make_plugin: MakePlugin) -> None:
    make_plugin("alpha", strategy("one"), distribution="dist-a", entry_point="same = alpha")
    make_plugin("beta", strategy("two"), distribution="dist-b", entry_point="same = beta")
    make_plugin("good", GOOD)

    catalog = build_catalog()

    error = (
        "entry point 'same' is used by dist-a 1.0 and dist-b 1.0; "
        "choose one with SFTBENCH_PLUGINS=dist-a or SFTBENCH_PLUGINS=dist-b"
    )
    assert set(catalog.broken) == {
        PluginInfo("same", "dist-a", "1.0", 0, error),
        PluginInfo("same", "dist-b", "1.0", 0, error),
    }
    assert offered_by(catalog, "same") == []
    assert offered_by(catalog, "good") == ["good-one"]
    assert build_catalog(chosen="dist-b").get("strategy", "two").__module__ == "beta"
    assert build_catalog(chosen="dist-b").broken == ()


def test_one_distribution_with_one_entry_point_name_twice(make_plugin: MakePlugin) -> None:
    folder = make_plugin("alpha", strategy("one"), entry_point="same = alpha")
    make_plugin("beta", strategy("two"))
    points = folder / "alpha-1.0.dist-info" / "entry_points.txt"
    points.write_text("[sftbench]\nsame = alpha\nsame = beta\n")

    errors = {info.error for info in build_catalog().broken}

    assert errors == {"entry point 'same' is used by alpha 1.0 and alpha 1.0; remove one"}


def test_nobody_takes_the_name_of_the_built_ins(make_plugin: MakePlugin) -> None:
    make_plugin("evil", strategy("full"), entry_point="builtin = evil")

    catalog = build_catalog()

    assert [(info.distribution, info.error) for info in catalog.plugins] == [
        ("sftbench", None),
        ("evil", "the entry point's name 'builtin' is sftbench's own; use another"),
    ]
    assert catalog.owner("strategy", "full")[1].distribution == "sftbench"


def test_the_same_distribution_found_by_two_paths_is_no_error(
    make_plugin: MakePlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_plugin("good", GOOD)
    shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.syspath_prepend(str(tmp_path / "copy"))
    every = [
        point
        for path in (folder, tmp_path / "copy")
        for found in distributions(path=[str(path)])
        for point in found.entry_points
    ]
    assert len(every) == 2

    for catalog in (build_catalog(), build_catalog(every)):
        assert catalog.broken == ()
        assert offered_by(catalog, "good") == ["good-one"]
        assert catalog.get("strategy", "good-one").name == "good-one"


# ---- choosing, tracing, metadata ---------------------------------------------------------------


@pytest.mark.parametrize("chosen", ["", " ", ",", "builtin", "sftbench"])
def test_empty_choice_loads_the_built_ins_alone(
    make_plugin: MakePlugin, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    make_plugin("bad", "raise ValueError")
    make_plugin("good", GOOD)
    monkeypatch.setenv("SFTBENCH_PLUGINS", chosen)

    catalog = build_catalog()

    assert [info.name for info in catalog.plugins] == ["builtin"]
    assert catalog.names("strategy")
    assert "good-one" not in catalog.names("strategy")
    assert "good" not in sys.modules


def test_argument_goes_before_the_environment(
    make_plugin: MakePlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_plugin("good", GOOD)
    monkeypatch.setenv("SFTBENCH_PLUGINS", "")

    assert "good-one" in build_catalog(chosen="good").names("strategy")


def test_choice_of_a_plugin_that_is_not_there(make_plugin: MakePlugin) -> None:
    make_plugin("good", GOOD)

    catalog = build_catalog(chosen="goood,\x1b[1m")

    assert catalog.broken == (
        PluginInfo("goood", "", "", 0, "SFTBENCH_PLUGINS: no such plugin; did you mean 'good'?"),
        PluginInfo(r"\x1b[1m", "", "", 0, "SFTBENCH_PLUGINS: no such plugin"),
    )
    with pytest.raises(RequestError) as caught:
        catalog.get("strategy", "good-one")
    assert "plugin 'goood' (goood) did not load and may have it" in str(caught.value)


def test_tracing_logs_every_call_with_its_plugin(
    make_plugin: MakePlugin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_plugin("good", GOOD)
    caplog.set_level(logging.INFO, "sftbench.discovery")
    build_catalog()
    assert caplog.messages == []
    monkeypatch.setenv("SFTBENCH_TRACE_PLUGINS", "1")

    build_catalog()

    assert [line for line in caplog.messages if line.startswith("good: ")] == [
        "good: sftbench_strategies [hook]",
        "good: finish sftbench_strategies --> [[<class 'good.Good'>]] [hook]",
    ]
    assert sum(line.startswith("builtin: finish") for line in caplog.messages) == 9


@pytest.mark.parametrize("left", [None, b"\xff\xfe", b""])
def test_half_removed_metadata_hides_no_plugin(make_plugin: MakePlugin, left: bytes | None) -> None:
    metadata = make_plugin("good", GOOD) / "good-1.0.dist-info" / "METADATA"
    metadata.unlink()
    if left is not None:
        metadata.write_bytes(left)

    catalog = build_catalog()

    assert catalog.broken == ()
    assert offered_by(catalog, "good") == ["good-one"]


def test_metadata_is_safe_to_print(make_plugin: MakePlugin) -> None:
    folder = make_plugin("good", GOOD)
    (folder / "good-1.0.dist-info" / "METADATA").write_text("Name: \x1b[31mred\nVersion: 1\x07\n")

    assert plugin(build_catalog(), "good").label == r"\x1b[31mred 1\x07"


def test_given_entry_points_take_the_place_of_the_installed_ones(make_plugin: MakePlugin) -> None:
    make_plugin("good", GOOD)

    catalog = build_catalog([EntryPoint("mine", "good", "sftbench")])

    assert catalog.plugins == (PluginInfo("mine", "", "", 1),)
    assert catalog.plugins[0].label == "mine"
    assert catalog.names("strategy") == ["good-one"]


def test_the_longest_prefix_is_asked_first() -> None:
    families = [offer.target for offer in build_catalog(chosen="").families["backbone"]]

    assert [f.prefix for f in families if isinstance(f, Family)] == ["torchvision/", ""]


def test_listing_every_kind_imports_no_torch(make_plugin: MakePlugin) -> None:
    make_plugin("good", GOOD)
    script = (
        "import sys, sftbench.api\n"
        "from sftbench.catalog import KINDS\n"
        "from sftbench.discovery import build_catalog\n"
        "catalog = build_catalog()\n"
        "assert not catalog.broken, catalog.broken\n"
        "print(*[f'{k}={len(catalog.listing(k))}' for k in KINDS])\n"
        "print('good-one' in catalog.names('strategy'))\n"
        "heavy = {'torch', 'timm', 'torchvision', 'pandas', 'sklearn'} & set(sys.modules)\n"
        "lazy = {m for m in sys.modules if m.startswith('sftbench.builtin.')}\n"
        "print(sorted(heavy), sorted(lazy - {'sftbench.builtin.strategy_entries'}))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert done.stderr == ""
    counts, good, heavy = done.stdout.splitlines()
    assert all(int(part.partition("=")[2]) > 0 for part in counts.split())
    assert len(counts.split()) == 8
    assert good == "True"
    assert heavy == "[] []"
