from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sftbench.plan import Cell, Plan, Skip, canonical, digest
from sftbench.protocol import Protocol, Rates

PROTOCOL = Protocol(image_size=64, limit_train=1200, limit_test=None, precision="fp32")


def cell(**changes: Any) -> Cell:
    values: dict[str, Any] = {
        "backbone": "tf_efficientnet_lite0",
        "weights": "pretrained",
        "dataset": "fashion-mnist-mini",
        "variant": "longtail:50",
        "strategy": "lp-ft",
        "seed": 3,
        "task": "image-classification",
        "options": {"head_share": 0.5, "tau": None},
        "protocol": PROTOCOL,
        "versions": {"strategy": 1, "dataset": 2},
    }
    return Cell(**(values | changes))


# The request that `cell()` is, as canonical JSON written down by hand: keys sorted, no spaces.
TEXT = (
    '{"backbone":"tf_efficientnet_lite0","dataset":"fashion-mnist-mini",'
    '"options":{"head_share":0.5,"tau":null},'
    '"protocol":{"augment":"flip","batch_size":32,"clip_norm":null,"decay_all":false,'
    '"epochs":3.0,"image_size":64,"label_smoothing":0.0,"limit_test":null,"limit_train":1200,'
    '"momentum":0.9,"name":"default","optimizer":"adamw","precision":"fp32",'
    '"rates":{"backbone":0.001,"head":0.003,"head_alone":0.01,"scratch":0.003},'
    '"schedule":"one-cycle","selection":"validation","validation_fraction":0.1,"warmup":0.2,'
    '"weight_decay":0.01},'
    '"seed":3,"strategy":"lp-ft","task":"image-classification","variant":"longtail:50",'
    '"versions":{"dataset":2,"strategy":1},"weights":"pretrained"}'
)
CELL_ID = "8df1904b5f108838"
PLAN_ID = "0eb01dd06c6429cf"


def test_cell_id_is_pinned() -> None:
    # A change of this literal makes every stored record another cell's.
    assert cell().cell_id == CELL_ID
    assert hashlib.sha256(TEXT.encode()).hexdigest()[:16] == CELL_ID


def test_cell_id_does_not_depend_on_the_order_of_keys() -> None:
    turned = cell(options={"tau": None, "head_share": 0.5}, versions={"dataset": 2, "strategy": 1})

    assert list(turned.options) != list(cell().options)
    assert turned.cell_id == CELL_ID


def test_cell_id_survives_json() -> None:
    assert Cell.model_validate_json(cell().model_dump_json()).cell_id == CELL_ID


OTHER: dict[str, Any] = {
    "backbone": "resnet50",
    "weights": "none",
    "dataset": "digits",
    "variant": "balanced",
    "strategy": "full",
    "seed": 4,
    "task": "another",
    "options": {"head_share": 0.25, "tau": None},
    "protocol": Protocol(),
    "versions": {"strategy": 2, "dataset": 2},
}


def test_every_field_changes_the_id() -> None:
    assert set(OTHER) == set(Cell.model_fields)

    ids = {key: cell(**{key: value}).cell_id for key, value in OTHER.items()}

    assert len({CELL_ID, *ids.values()}) == len(OTHER) + 1


OTHER_PROTOCOL: dict[str, Any] = {
    "name": "mine",
    "epochs": 4,
    "batch_size": 33,
    "image_size": 65,
    "validation_fraction": 0.2,
    "limit_train": 1201,
    "limit_test": 7,
    "optimizer": "sgd",
    "momentum": 0.8,
    "weight_decay": 0.02,
    "decay_all": True,
    "rates": Rates(head=0.004),
    "schedule": "cosine",
    "warmup": 0.1,
    "label_smoothing": 0.1,
    "clip_norm": 1.0,
    "augment": "none",
    "selection": "last",
    "precision": "bf16",
    "erasing": 0.25,
    "mixup": 0.2,
    "cutmix": 1.0,
    "skip_unreadable": True,
    "step_at": (0.8, 0.9),
    "step_factor": 0.01,
    "tune": {"lr": (0.1, 0.01)},
    "evaluate": ("drift",),
}


def test_every_field_of_the_protocol_changes_the_id() -> None:
    assert set(OTHER_PROTOCOL) == set(Protocol.model_fields)

    ids = {
        key: cell(protocol=PROTOCOL.model_copy(update={key: value})).cell_id
        for key, value in OTHER_PROTOCOL.items()
    }

    assert len({CELL_ID, *ids.values()}) == len(OTHER_PROTOCOL) + 1


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"seed": -1}, "greater_than_equal"),
        ({"seed": None}, "int_type"),
        ({"extra": 1}, "extra_forbidden"),
        ({"versions": {"strategy": "x"}}, "int_parsing"),
    ],
)
def test_cell_refuses(values: dict[str, Any], kind: str) -> None:
    with pytest.raises(ValidationError) as caught:
        cell(**values)
    assert [error["type"] for error in caught.value.errors()] == [kind]


def test_cell_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        cell().seed = 1  # type: ignore[misc]


def test_group_is_what_seeds_share() -> None:
    assert cell().group == cell(seed=9).group
    assert cell().group != cell(options={}).group
    assert cell().group != cell(strategy="full").group
    assert cell().group != cell(versions={"strategy": 2, "dataset": 2}).group
    assert cell().group != cell(variant="balanced").group
    assert len({cell().group}) == 1


def test_section_is_what_strategies_share() -> None:
    other = cell(strategy="full", options={}, seed=0, versions={"strategy": 5})

    assert cell().section == other.section
    assert cell().section[:4] == (
        "tf_efficientnet_lite0",
        "pretrained",
        "fashion-mnist-mini",
        "longtail:50",
    )
    for key in ("backbone", "weights", "dataset", "variant", "protocol"):
        assert cell(**{key: OTHER[key]}).section != cell().section


def test_version_and_title() -> None:
    assert cell(versions={"strategy": 4}).version == 4
    assert cell(versions={}).version == 1
    assert cell().title == "tf_efficientnet_lite0 lp-ft on fashion-mnist-mini/longtail:50 seed 3"


def plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {
        "cells": (cell(), cell(seed=4)),
        "skipped": (
            Skip(cell=cell(strategy="lora"), reason="no"),
            Skip(cell=cell(seed=8), reason="b"),
        ),
        "criteria": {"alpha": 0.05, "margin": 0.01},
    }
    return Plan(**(values | changes))


def test_plan_id_is_pinned() -> None:
    assert plan().plan_id == PLAN_ID


def test_plan_id_does_not_depend_on_order() -> None:
    turned = plan(
        cells=plan().cells[::-1],
        skipped=plan().skipped[::-1],
        criteria={"margin": 0.01, "alpha": 0.05},
    )

    assert turned != plan()
    assert turned.plan_id == PLAN_ID


def test_every_field_changes_the_plan_id() -> None:
    other: dict[str, Any] = {
        "cells": (cell(),),
        "skipped": (Skip(cell=cell(strategy="lora"), reason="yes"),),
        "baseline": "full",
        "criteria": {"alpha": 0.01, "margin": 0.01},
    }
    assert set(other) == set(Plan.model_fields)

    assert len({PLAN_ID, *(plan(**{key: value}).plan_id for key, value in other.items())}) == 5


def test_a_skipped_cell_is_not_a_cell_to_run() -> None:
    one = plan(cells=(cell(),), skipped=(Skip(cell=cell(seed=4), reason=""),))
    other = plan(cells=(cell(seed=4),), skipped=(Skip(cell=cell(), reason=""),))

    assert one.plan_id != other.plan_id
    assert one.all_cells == (cell(), cell(seed=4))


def test_canonical() -> None:
    assert canonical({"b": [1, 2.5, None], "a": {"d": True, "c": "é"}}) == (
        r'{"a":{"c":"\u00e9","d":true},"b":[1,2.5,null]}'
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [-float("inf")]}])
def test_canonical_refuses_what_is_not_json(value: object) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical(value)


def test_digest() -> None:
    # sha256 of the two bytes {} begins so.
    assert digest({}) == "44136fa355b3678a"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON))
def test_digest_is_a_function_of_the_value(value: dict[str, Any]) -> None:
    turned = dict(reversed(value.items()))

    assert json.loads(canonical(value)) == value
    assert digest(turned) == digest(value) == digest(json.loads(canonical(value)))
    assert len(digest(value)) == 16
