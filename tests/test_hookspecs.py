from __future__ import annotations

import inspect

import pluggy
import pytest

from sftbench import discovery, hookspecs
from sftbench.builtin import (
    sftbench_backbones,
    sftbench_datasets,
    sftbench_executors,
    sftbench_metrics,
    sftbench_strategies,
    sftbench_tasks,
    sftbench_trackers,
    sftbench_variants,
)
from sftbench.catalog import KINDS

HOOKS = {
    "sftbench_backbones": "backbone",
    "sftbench_datasets": "dataset",
    "sftbench_variants": "variant",
    "sftbench_strategies": "strategy",
    "sftbench_tasks": "task",
    "sftbench_metrics": "metric",
    "sftbench_executors": "executor",
    "sftbench_trackers": "tracker",
}


def specified() -> list[str]:
    manager = pluggy.PluginManager("sftbench")
    manager.add_hookspecs(hookspecs)
    return [name for name in vars(manager.hook) if not name.startswith("_")]


def test_the_hooks_are_those_of_the_kinds_and_of_packaged_weights() -> None:
    assert set(specified()) == {*HOOKS, "sftbench_weights"} == set(discovery._HOOKS)
    assert discovery._KINDS_BY_HOOK == HOOKS
    assert set(KINDS) == set(HOOKS.values())


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_is_documented_takes_nothing_and_returns_its_kind(hook: str) -> None:
    function = getattr(hookspecs, hook)

    assert inspect.cleandoc(function.__doc__).startswith("Return ")
    assert inspect.signature(function).parameters == {}
    kind = KINDS[discovery._KINDS_BY_HOOK[hook]]
    returned = inspect.signature(function).return_annotation
    assert returned == f"Sequence[type[{kind.__name__}] | Entry | Family]"


def test_the_hook_of_weights_returns_plain_data() -> None:
    function = hookspecs.sftbench_weights

    assert inspect.cleandoc(function.__doc__ or "").startswith("Return ")
    assert inspect.signature(function).parameters == {}
    assert inspect.signature(function).return_annotation == "Sequence[PackagedWeights]"


def test_no_function_of_hookspecs_is_left_out() -> None:
    functions = [
        name
        for name, value in vars(hookspecs).items()
        if inspect.isfunction(value) and value.__module__ == hookspecs.__name__
    ]

    assert set(functions) == {*HOOKS, "sftbench_weights"}


@pytest.mark.parametrize(
    "function",
    [
        sftbench_backbones,
        sftbench_datasets,
        sftbench_executors,
        sftbench_metrics,
        sftbench_strategies,
        sftbench_tasks,
        sftbench_trackers,
        sftbench_variants,
    ],
)
def test_the_built_ins_implement_every_hook(function: object) -> None:
    assert getattr(function, "sftbench_impl", None)
    assert inspect.getdoc(function)
