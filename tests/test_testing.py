"""The contract checks: every built-in component keeps them, and each rule finds what breaks it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch
from support.broken import BROKEN
from support.broken.strategies import WithStages

from sftbench.api import (
    BackboneInfo,
    Component,
    DatasetInfo,
    Kind,
    RequestError,
    Stage,
)
from sftbench.builtin import PUBLISHED
from sftbench.catalog import KINDS, Offer
from sftbench.contracts.component import Family
from sftbench.discovery import build_catalog
from sftbench.testing import (
    TinyBackbone,
    TinyImages,
    check_component,
    check_plugin,
    run_tiny,
    tiny_catalog,
)
from sftbench.testing.check import the_example_resolves

BUILTIN = build_catalog([EntryPoint("builtin", "sftbench.builtin", "sftbench")], chosen="")
# What cannot be checked here, and why.
UNCHECKED = {
    "arrays": "needs a PATH",
    "folder": "needs a PATH",
    "csv": "needs a PATH",
    "hf": "needs a SOURCE",
    "cifar10": "cifar10 is not in",
    "cifar-resnet32": "weights of cifar-resnet32: nobody published any",
}
UNCHECKED |= {one.name: f"{one.name} is not in" for one in PUBLISHED}
UNCHECKED["imagenet"] = "needs a PATH"
# Its data sets are made of others; tests/builtin/tasks/test_contrastive.py looks at it.
UNCHECKED["contrastive"] = "no data set of task 'contrastive' can be loaded here"
UNCHECKED["view_retrieval"] = "it serves contrastive"


def builtin_components() -> list[Any]:
    return [
        pytest.param(kind, offer.name, id=f"{kind}-{offer.name}")
        for kind in KINDS
        for offer in BUILTIN.listing(kind)
        if not isinstance(offer.target, Family)
    ]


@pytest.mark.parametrize(("kind", "name"), builtin_components())
def test_builtin_component_keeps_its_contract(
    kind: Kind, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SFTBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("SFTBENCH_CACHE", str(tmp_path))
    findings = check_component(kind, BUILTIN.get(kind, name))
    assert [str(finding) for finding in findings if finding.problem] == []
    unchecked = [finding.unchecked for finding in findings if finding.unchecked]
    if name in UNCHECKED:
        assert unchecked
        assert all(reason.startswith(UNCHECKED[name]) for reason in unchecked)
    else:
        assert unchecked == []
        assert len(findings) > len(["class is sound"]) + 5


@pytest.mark.parametrize(
    "offer",
    [
        pytest.param(offer, id=f"{kind}-{offer.name}")
        for kind in KINDS
        for offer in BUILTIN.listing(kind)
        if isinstance(offer.target, Family)
    ],
)
def test_builtin_family_resolves_its_example(offer: Offer) -> None:
    assert the_example_resolves(offer) is None


@pytest.mark.parametrize("component", [TinyBackbone, TinyImages])
def test_tiny_components_keep_their_contracts(component: type[Component]) -> None:
    kind: Kind = "backbone" if component is TinyBackbone else "dataset"
    assert {finding.outcome for finding in check_component(kind, component)} == {"ok"}


# ---- what breaks a rule, and the rule that must find it ----------------------------------------


@pytest.mark.parametrize(("kind", "component", "rule", "says"), BROKEN)
def test_each_rule_finds_what_breaks_it(
    kind: Kind, component: type[Component], rule: str, says: str
) -> None:
    broken = [finding for finding in check_component(kind, component) if finding.problem]
    assert [finding.rule for finding in broken] == [rule], [str(one) for one in broken]
    assert says in str(broken[0].problem)
    assert str(broken[0]) == f"{kind} {component.name}: {rule}: BROKEN: {broken[0].problem}"


def test_a_summary_of_two_lines_and_an_inherited_docstring_are_found() -> None:
    class Silent2(WithStages):
        name = "silent"
        summary = "one\ntwo"

    broken = {one.rule: one.problem for one in check_component("strategy", Silent2) if one.problem}
    assert broken == {
        "summary is one line": "summary is not one line of at most 100 characters: 'one\\ntwo'",
        "class has a docstring": "Silent2 has no docstring",
    }


def test_what_does_not_support_the_cell_is_not_called_ok() -> None:
    class Elsewhere(WithStages):
        """Needs text."""

        name = "elsewhere"

        def supports(self, task: str, backbone: BackboneInfo, dataset: DatasetInfo) -> str | None:
            return "needs text"

    found = {one.rule: one.outcome for one in check_component("strategy", Elsewhere)}
    assert found["there are stages"] == (
        "not checked: it does not support the tiny cell: needs text"
    )
    assert "a tiny cell ends well" not in found


# ---- the tiny cell -----------------------------------------------------------------------------


def test_the_tiny_cell_learns() -> None:
    record, kept = run_tiny(epochs=20)
    assert record.status == "ok"
    assert record.cell.title == "tiny-convnet full on tiny-images/balanced seed 0"
    assert record.counts.train_examples == 48
    assert record.counts.val_examples == 16
    assert record.counts.drawn_examples == 960
    assert record.value("accuracy") is not None
    assert record.value("accuracy") >= 0.75  # type: ignore[operator]
    assert kept is not None
    assert kept["test", "selected"].outputs.shape == (32, 4)


def test_the_tiny_cell_has_no_effect_outside() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    before = torch.are_deterministic_algorithms_enabled()
    threads = torch.get_num_threads()
    flushes = sys.float_info.min / 2 == 0.0
    first, second = run_tiny(), run_tiny()
    assert torch.get_num_threads() == threads
    assert (sys.float_info.min / 2 == 0.0) is flushes
    assert torch.equal(torch.rand(1), expected)
    assert torch.are_deterministic_algorithms_enabled() is before
    assert first[0].metrics == second[0].metrics
    assert "tiny-images" not in build_catalog([]).names("dataset")


def test_the_tiny_cell_takes_settings_variants_and_changes() -> None:
    from sftbench.builtin.strategies.lp_ft import LpFt
    from sftbench.builtin.variants.thinned import FewShot

    record, _ = run_tiny(LpFt, FewShot, settings={"head_share": 0.25}, epochs=4, batch_size=4)
    assert record.status == "ok"
    assert record.cell.variant == "fewshot:2"
    # 4 epochs of 2 images of 4 classes, in batches of 4: a quarter for the head.
    assert [(stage.name, stage.steps) for stage in record.stages] == [("head", 2), ("train", 6)]


def test_the_tiny_cell_names_a_wrong_setting() -> None:
    with pytest.raises(RequestError, match="strategy 'full' has no option 'rank'; options: none"):
        run_tiny(settings={"rank": 3})


def test_tiny_catalog_puts_a_class_in_the_place_of_a_name() -> None:
    class Full(WithStages):
        """Another."""

        name = "full"

    assert tiny_catalog(Full).get("strategy", "full") is Full
    assert tiny_catalog().get("strategy", "full") is not Full
    with pytest.raises(RequestError, match="Stage is a subclass of none of"):
        tiny_catalog(Stage)  # type: ignore[arg-type]


# ---- plugins -----------------------------------------------------------------------------------


GOOD = '''
from sftbench.api import Entry, Stage, Strategy, hookimpl

class BiasOnly(Strategy):
    """Train biases and the head."""

    name = "biases"
    summary = "biases and head"

    def stages(self, ctx):
        return [Stage(name="train", trainable=lambda n: n.endswith("bias") or ctx.is_head(n))]

@hookimpl
def sftbench_strategies():
    return [BiasOnly]
'''


def test_check_plugin_checks_what_it_brings(make_plugin: Callable[..., Path]) -> None:
    make_plugin("good_one", GOOD, "good-one", "good-one = good_one")
    for name in ("good-one", "Good_One"):
        findings = check_plugin(name)
        assert {finding.outcome for finding in findings} == {"ok"}
        assert {finding.component for finding in findings} == {
            f"plugin {name}",
            "strategy biases",
        }


def test_check_plugin_says_what_imports_torch(make_plugin: Callable[..., Path]) -> None:
    make_plugin("heavy_one", f"import torch\n{GOOD}", "heavy-one", "heavy-one = heavy_one")
    broken = [finding for finding in check_plugin("heavy-one") if finding.problem]
    assert [(one.component, one.rule, one.problem) for one in broken] == [
        (
            "plugin heavy-one",
            "import brings no torch",
            "listing it imports torch; import it inside the method that needs it",
        )
    ]


LAZY = '''
from sftbench.api import Entry, Family, hookimpl

@hookimpl
def sftbench_variants():
    return [
        Entry("longtail10", "lazy_one:Missing", "not there"),
        Entry("step10", "lazy_one:Step10", "a parameter that is none", "R"),
        Family("shots", "lazy_one:shots", "any number", prefix="shots/", example="shots/five"),
    ]

def __getattr__(name):
    if name != "Step10":
        raise AttributeError(name)
    from sftbench.builtin.variants.whole import Balanced
    class Step10(Balanced):
        """All."""
        name = "step10"
    return Step10

class Shots:
    def names(self):
        return []
    def resolve(self, name):
        return None

shots = Shots()
'''


def test_check_plugin_finds_entries_and_families_that_lie(make_plugin: Callable[..., Path]) -> None:
    make_plugin("lazy_one", LAZY, "lazy-one", "lazy-one = lazy_one")
    broken = [finding for finding in check_plugin("lazy-one") if finding.problem]
    assert [(one.component, one.rule) for one in broken] == [
        ("variant longtail10", "can be loaded"),
        ("variant step10", "entry and class agree"),
        ("variant family shots", "the example resolves"),
    ]
    assert broken[1].problem == "the entry's parameter is 'R', the class's argument None"
    assert broken[2].problem == "example 'shots/five' is unknown to it"


def test_check_plugin_gives_the_cause_of_a_broken_plugin(make_plugin: Callable[..., Path]) -> None:
    make_plugin(
        "broken_one", "import no_such_library_at_all", "broken-one", "broken-one = broken_one"
    )
    with pytest.raises(RequestError) as caught:
        check_plugin("broken-one")
    assert str(caught.value) == (
        "plugin 'broken-one' (broken-one 1.0): "
        "ModuleNotFoundError: No module named 'no_such_library_at_all'"
    )


def test_check_plugin_knows_what_a_wrong_name_may_mean(make_plugin: Callable[..., Path]) -> None:
    make_plugin("good_one", GOOD, "good-one", "good-one = good_one")
    with pytest.raises(RequestError) as caught:
        check_plugin("god-one")
    assert str(caught.value) == (
        "unknown plugin 'god-one'; did you mean 'good-one'?; see: sftbench plugins list"
    )
