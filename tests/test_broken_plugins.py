from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from plugin_sources import GOOD, HEAD, returning, strategy

from sftbench.catalog import Catalog, PluginInfo
from sftbench.discovery import build_catalog
from sftbench.errors import RequestError

MakePlugin = Callable[..., Path]


def plugin(catalog: Catalog, name: str) -> PluginInfo:
    [found] = [info for info in catalog.plugins if info.name == name]
    return found


def offered_by(catalog: Catalog, name: str) -> list[str]:
    offers = [offer for same in catalog.offers.values() for offer in same]
    offers += [offer for same in catalog.families.values() for offer in same]
    return sorted(offer.name for offer in offers if offer.plugin.name == name)


def weights(**changes: object) -> str:
    """Return the source of a plugin with packaged weights, some fields changed."""
    fields = {
        "backbone": "net",
        "package": "p",
        "version": "1",
        "file": "p/net.pt",
        "sha256": "0" * 64,
        "rename": "p:rename",
        "licence": "MIT",
        "source": "s",
        **changes,
    }
    return (
        "from sftbench.api import PackagedWeights, hookimpl\n"
        "@hookimpl\ndef sftbench_weights():\n"
        f"    return [PackagedWeights(**{fields!r})]\n"
    )


BROKEN = {
    "no packaged weights": (
        "from sftbench.api import hookimpl\n@hookimpl\ndef sftbench_weights():\n    return ['x']",
        "sftbench_weights() returned 'x', which is no PackagedWeights",
    ),
    "weights of no name": (
        weights(backbone="../net"),
        "sftbench_weights(): '../net' is no valid name (letters, digits, ._/=+-)",
    ),
    "weights without checksum": (
        weights(sha256="0123"),
        "sftbench_weights(): weights of net have the sha256 '0123', which is none",
    ),
    "weights outside their package": (
        weights(file="p/../../net.pt"),
        "sftbench_weights(): weights of net have the file 'p/../../net.pt' outside a package",
    ),
    "weights with a number": (
        weights().replace("'1'", "1"),
        "sftbench_weights(): PackagedWeights 'net' has version 1, not text",
    ),
    "weights with a number beside them": (
        weights(beside={"p/words.json": 1}),
        "sftbench_weights(): PackagedWeights 'net' has beside 1, not text",
    ),
    "raises": ("raise ValueError('no luck')", "ValueError: no luck"),
    "raises nothing said": ("raise ValueError", "ValueError"),
    "raises SystemExit": ("import sys\nsys.exit('bye')", "SystemExit: bye"),
    "raises a BaseException": (
        "class Panic(BaseException): ...\nraise Panic('rust')",
        "Panic: rust",
    ),
    "raises what cannot be told": (
        "class Mute(Exception):\n    def __str__(self): raise TypeError\nraise Mute",
        "Mute",
    ),
    "lacks a module": (
        "import no_such_module",
        "ModuleNotFoundError: No module named 'no_such_module'",
    ),
    "syntax": ("def f(:\n", "SyntaxError: invalid syntax (bad.py, line 1)"),
    "several lines": ("raise ValueError('one\\n\\n  two\\ttab')", "ValueError: one two tab"),
    "escapes": (
        "raise ValueError('\\x1b[31mred\\x1b[0m \\u202eback\\x07')",
        r"ValueError: \x1b[31mred\x1b[0m \u202eback\x07",
    ),
    "long": ("raise ValueError('x' * 10**6)", "ValueError: " + "x" * 285 + "..."),
    "misspelt hook": (
        HEAD + "@hookimpl\ndef sftbench_strategys():\n    return [Mine]",
        "unknown hook 'sftbench_strategys'; did you mean 'sftbench_strategies'?",
    ),
    "misspelt specname": (
        HEAD + "@hookimpl(specname='sftbench_metric')\ndef mine():\n    return [Mine]",
        "unknown hook 'sftbench_metric'; did you mean 'sftbench_metrics'?",
    ),
    "good hook and misspelt hook": (
        returning("[Mine]") + "@hookimpl\ndef sftbench_dataset():\n    return []",
        "unknown hook 'sftbench_dataset'; did you mean 'sftbench_datasets'?",
    ),
    "no marker": (
        HEAD + "def sftbench_strategies():\n    return [Mine]",
        "sftbench_strategies() lacks the decorator @sftbench.api.hookimpl",
    ),
    "misspelt and no marker": (
        HEAD + "def sftbench_strategy():\n    return [Mine]",
        "unknown hook 'sftbench_strategy'; did you mean 'sftbench_strategies'?",
    ),
    "no hook": (
        "answer = 42",
        (
            "has no hook; hooks: sftbench_backbones, sftbench_datasets, sftbench_variants, "
            "sftbench_strategies, sftbench_tasks, sftbench_metrics, sftbench_executors, "
            "sftbench_trackers, sftbench_weights"
        ),
    ),
    "wrong arguments": (
        HEAD + "@hookimpl\ndef sftbench_strategies(ctx):\n    return [Mine]",
        "sftbench_strategies() has the parameter 'ctx'; hooks take none",
    ),
    "keyword argument": (
        HEAD + "@hookimpl\ndef sftbench_strategies(*, ctx):\n    return [Mine]",
        "sftbench_strategies() has the parameter 'ctx'; hooks take none",
    ),
    "wrapper": (
        HEAD + "@hookimpl(wrapper=True)\ndef sftbench_strategies():\n    return (yield)",
        "sftbench_strategies() is a wrapper; a hook of sftbench returns a list",
    ),
    "hook raises": (
        HEAD + "@hookimpl\ndef sftbench_strategies():\n    raise OSError('disk\\nfull')",
        "sftbench_strategies() raised OSError: disk full",
    ),
    "hook exits": (
        HEAD + "@hookimpl\ndef sftbench_strategies():\n    raise SystemExit(3)",
        "sftbench_strategies() raised SystemExit: 3",
    ),
    "None": (returning("None"), "sftbench_strategies() returned None, not a list"),
    "text": (returning("'mine'"), "sftbench_strategies() returned str, not a list"),
    "class": (returning("Mine"), "sftbench_strategies() returned class Mine, not a list"),
    "generator": (
        HEAD + "@hookimpl\ndef sftbench_strategies():\n    yield Mine",
        "sftbench_strategies() returned generator, not a list",
    ),
    "a list that breaks": (
        HEAD
        + "class Bad(list):\n    def __iter__(self): raise KeyError('k')\n"
        + "@hookimpl\ndef sftbench_strategies():\n    return Bad()",
        "sftbench_strategies() returned something that raised KeyError: 'k'",
    ),
    "instance": (
        returning("[Mine()]"),
        "sftbench_strategies() returned an instance of Mine, not the class",
    ),
    "list of text": (
        returning("[Mine, 'mine']"),
        "sftbench_strategies() returned 'mine', which is no Strategy class, Entry or Family",
    ),
    "list of None": (
        returning("[None]"),
        "sftbench_strategies() returned None, which is no Strategy class, Entry or Family",
    ),
    "wrong kind": (
        HEAD + "@hookimpl\ndef sftbench_datasets():\n    return [Mine]",
        "sftbench_datasets() returned Mine, which is no Dataset class, Entry or Family",
    ),
    "abstract": (
        HEAD + "class Half(Strategy):\n    name = 'half'\n@hookimpl\ndef sftbench_strategies():\n"
        "    return [Half]",
        "sftbench_strategies(): Half lacks stages()",
    ),
    "no name": (
        HEAD + "class Anon(Strategy):\n    def stages(self, ctx): return []\n"
        "@hookimpl\ndef sftbench_strategies():\n    return [Anon]",
        "sftbench_strategies(): Anon has the name None, not a valid one (letters, digits, ._/=+-)",
    ),
    "class named upwards": (
        HEAD + "Mine.name = '../x'\n@hookimpl\ndef sftbench_strategies():\n    return [Mine]",
        (
            "sftbench_strategies(): Mine has the name '../x', "
            "not a valid one (letters, digits, ._/=+-)"
        ),
    ),
    "entry named upwards": (
        returning("[Entry('../x', 'a:B', '')]"),
        "sftbench_strategies(): '../x' is no valid name (letters, digits, ._/=+-)",
    ),
    "entry named in red": (
        returning("[Entry('\\x1b[31mx', 'a:B', '')]"),
        r"sftbench_strategies(): '\x1b[31mx' is no valid name (letters, digits, ._/=+-)",
    ),
    "entry named by number": (
        returning("[Entry(7, 'a:B', '')]"),
        "sftbench_strategies(): Entry 7 has name 7, not text",
    ),
    "entry without summary": (
        returning("[Entry('x', 'a:B', None)]"),
        "sftbench_strategies(): Entry 'x' has summary None, not text",
    ),
    "entry against a text, not a tuple": (
        returning("[Entry('x', 'a:B', '', against='OVERFIT')]"),
        "sftbench_strategies(): Entry 'x' has against 'OVERFIT', not a tuple of texts",
    ),
    "entry against a number": (
        returning("[Entry('x', 'a:B', '', against=('OVERFIT', 1))]"),
        "sftbench_strategies(): Entry 'x' has against 1, not text",
    ),
    "family with a prefix that is no text": (
        returning("[Family('x', 'a:B', '', prefix=None)]"),
        "sftbench_strategies(): Family 'x' has prefix None, not text",
    ),
    "argument that is no option": (
        HEAD + "Mine.argument = 'ratio'\n@hookimpl\ndef sftbench_strategies():\n    return [Mine]",
        "sftbench_strategies(): Mine has the argument 'ratio', which is none of its options",
    ),
    "options of another kind": (
        HEAD
        + "Mine.options_model = dict\n@hookimpl\ndef sftbench_strategies():\n    return [Mine]",
        (
            "sftbench_strategies(): Mine has an options_model that is no subclass of "
            "sftbench.api.Options"
        ),
    ),
    "version of another kind": (
        HEAD + "Mine.algorithm_version = '2'\n@hookimpl\ndef sftbench_strategies():\n"
        "    return [Mine]",
        "sftbench_strategies(): Mine has the algorithm_version '2', which is no count from 1",
    ),
    "twice": (returning("[Mine, Mine]"), "lists strategy 'mine' twice"),
    "twice, by two hooks": (
        returning("[Mine]") + "@hookimpl(specname='sftbench_strategies')\ndef more():\n"
        "    return [Entry('mine', 'a:B', '')]",
        "lists strategy 'mine' twice",
    ),
    "the second hook is wrong": (
        returning("[Mine]") + "@hookimpl\ndef sftbench_variants():\n    return 7",
        "sftbench_variants() returned int, not a list",
    ),
    "the first hook is wrong": (
        returning("[Mine]") + "@hookimpl\ndef sftbench_backbones():\n    raise ValueError",
        "sftbench_backbones() raised ValueError",
    ),
}


@pytest.mark.parametrize(("source", "error"), BROKEN.values(), ids=BROKEN)
def test_broken_plugin_is_listed_with_its_cause_and_harms_none(
    make_plugin: MakePlugin, source: str, error: str
) -> None:
    make_plugin("bad", source)
    make_plugin("good", GOOD)
    make_plugin("zz_good", strategy("good-two"))

    catalog = build_catalog()

    assert plugin(catalog, "bad") == PluginInfo("bad", "bad", "1.0", 0, error)
    assert catalog.broken == (plugin(catalog, "bad"),)
    assert offered_by(catalog, "bad") == []
    assert offered_by(catalog, "good") == ["good-one"]
    assert offered_by(catalog, "zz_good") == ["good-two"]
    assert catalog.get("strategy", "good-one").__module__ == "good"
    with pytest.raises(RequestError) as caught:
        catalog.get("strategy", "mine")
    assert str(caught.value).endswith(
        f"; plugin 'bad' (bad 1.0) did not load and may have it: {error}"
    )


def test_all_of_these_at_once_leave_the_good_one(make_plugin: MakePlugin) -> None:
    for number, (source, _) in enumerate(BROKEN.values()):
        make_plugin(f"bad{number}", source)
    make_plugin("good", GOOD)

    catalog = build_catalog()

    assert len(catalog.broken) == len(BROKEN)
    assert offered_by(catalog, "good") == ["good-one"]
    assert all(not offered_by(catalog, info.name) for info in catalog.broken)
    assert all((info.error or "\n").isprintable() for info in catalog.broken)


def test_ctrl_c_while_a_plugin_loads_is_the_persons_own(make_plugin: MakePlugin) -> None:
    make_plugin("slow", "raise KeyboardInterrupt")

    with pytest.raises(KeyboardInterrupt):
        build_catalog()


def test_good_packaged_weights_are_in_the_catalog_behind_the_built_in_ones(
    make_plugin: MakePlugin,
) -> None:
    make_plugin("carrier", weights())

    catalog = build_catalog(chosen="carrier")

    assert plugin(catalog, "carrier").error is None
    assert plugin(catalog, "carrier").components == 1
    assert catalog.packaged_weights[-1].backbone == "net"
    assert catalog.packaged_weights[0].backbone == "tf_efficientnet_lite0"
