"""Several strategies as one: what each brings, and what may not meet."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from support.workspaces import make_warm, make_workspace, run

from sftbench.api import Strategy
from sftbench.errors import RequestError
from sftbench.planning import make_plan
from sftbench.request import Request
from sftbench.testing import tiny_catalog


def _plan(strategy: str, **values: Any) -> None:
    make_plan(
        Request.model_validate(
            {"backbone": "tiny-convnet", "dataset": "tiny-images", "strategy": strategy}
            | {"seeds": 1, "baseline": strategy, **values}
        ),
        tiny_catalog(),
        "fp32",
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("balanced-softmax+logit-adjust", "balanced-softmax and logit-adjust both decide the loss"),
        ("head-only+lp-ft", "head-only and lp-ft both decide the parameters that train"),
        ("full+nothing", "unknown strategy 'nothing'"),
    ],
)
def test_parts_that_fight_are_refused_when_the_plan_is_made(name: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        _plan(name)


def test_a_plan_lists_parts_and_their_options() -> None:
    parts = {"parts": ["partial:2", "logit-adjust"], "settings": {"logit-adjust": {"tau": "0.5"}}}
    request = Request.model_validate(
        {"backbone": "tiny-convnet", "dataset": "tiny-images", "strategy": "late+shifted"}
        | {"seeds": 1, "baseline": "late+shifted", "composites": {"late+shifted": parts}}
    )
    plan = make_plan(request, tiny_catalog(), "fp32")
    [cell] = plan.cells
    assert cell.strategy == "late+shifted"
    assert cell.options["parts"] == ["partial:2", "logit-adjust"]
    made = cast(Strategy, tiny_catalog().create("strategy", cell.strategy, cell.options))
    assert [part.reference for part in made.parts] == ["partial:2", "logit-adjust"]  # type: ignore[attr-defined]
    assert made.parts[1].options.tau == 0.5  # type: ignore[attr-defined]


def test_a_composite_that_no_strategy_names_is_refused() -> None:
    with pytest.raises(RequestError, match=r"composite 'a\+b' is not among the strategies"):
        _plan("full", composites={"a+b": {"parts": ["full", "lp-ft"]}})


def test_settings_of_no_part_are_refused() -> None:
    with pytest.raises(RequestError, match="settings of 'lp-ft', which is none of its parts"):
        _plan("full+head-only", settings={"full+head-only": {"settings": {"lp-ft": {}}}})


def test_it_trains_as_its_parts_say() -> None:
    """Balanced softmax over a frozen backbone: the same as the loss in the head's own stage."""
    warm = make_warm()
    ws = make_workspace(warm, "head-only+balanced-softmax", variant="longtail:4")
    [stage] = ws.strategy.stages(ws.ctx)
    assert stage.name == "head"
    assert stage.trainable("head.weight")
    assert not stage.trainable("backbone.model.0.0.weight")
    assert stage.loss is not None
    record, kept = run(warm, "head-only+balanced-softmax", variant="longtail:4")
    plain, other = run(warm, "head-only", variant="longtail:4")
    assert record.stages[0].cached_features
    assert record.counts.trainable == plain.counts.trainable
    assert not np.array_equal(kept["test", "last"].outputs, other["test", "last"].outputs)


def test_the_identity_adds_nothing() -> None:
    warm = make_warm()
    _, alone = run(warm, "balanced-softmax", variant="longtail:4")
    _, both = run(warm, "full+balanced-softmax", variant="longtail:4")
    assert np.array_equal(alone["test", "last"].outputs, both["test", "last"].outputs)


def test_heads_of_composites_train_together() -> None:
    catalog = tiny_catalog()
    assert cast(Strategy, catalog.create("strategy", "head-only+balanced-softmax")).heads_together
    assert not cast(Strategy, catalog.create("strategy", "full+balanced-softmax")).heads_together
