from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sftbench.errors import RequestError
from sftbench.protocol import PROTOCOLS, Protocol, Rates, differences, named_protocol

DEFAULT = {
    "name": "default",
    "epochs": 3.0,
    "batch_size": 32,
    "image_size": "auto",
    "validation_fraction": 0.1,
    "limit_train": "auto",
    "limit_test": "auto",
    "optimizer": "adamw",
    "momentum": 0.9,
    "weight_decay": 0.01,
    "decay_all": False,
    "rates": {"head_alone": 0.01, "head": 0.003, "backbone": 0.001, "scratch": 0.003},
    "schedule": "one-cycle",
    "warmup": 0.2,
    "label_smoothing": 0.0,
    "clip_norm": None,
    "augment": "flip",
    "selection": "validation",
    "precision": "default",
}
ARTICLE = {
    "name": "article",
    "epochs": 10.0,
    "batch_size": 128,
    "image_size": 224,
    "validation_fraction": 0.0,
    "limit_train": None,
    "limit_test": None,
    "optimizer": "momentum",
    "momentum": 0.9,
    "weight_decay": 0.0,
    "decay_all": False,
    "rates": {"head_alone": 0.001, "head": 0.001, "backbone": 0.001, "scratch": 0.001},
    "schedule": "constant",
    "warmup": 0.0,
    "label_smoothing": 0.0,
    "clip_norm": None,
    "augment": "none",
    "selection": "last",
    "precision": "fp32",
}


def test_there_are_three_protocols() -> None:
    assert list(PROTOCOLS) == ["default", "pretrain", "article"]


def test_pretraining_differs_from_the_default_in_length_and_takes_all_images() -> None:
    other = differences(PROTOCOLS["pretrain"], PROTOCOLS["default"])
    assert other == {"name": "pretrain", "epochs": 10.0, "limit_train": None, "limit_test": None}


@pytest.mark.parametrize(("name", "values"), [("default", DEFAULT), ("article", ARTICLE)])
def test_protocol_value_by_value(name: str, values: dict[str, Any]) -> None:
    assert named_protocol(name).model_dump() == values
    assert Protocol.model_validate(values) == named_protocol(name)


def test_a_protocol_without_changes_is_the_default() -> None:
    assert Protocol() == named_protocol("default") == named_protocol("default", {})


def test_changes_are_laid_over_and_text_is_converted() -> None:
    protocol = named_protocol(
        "article", {"epochs": "0.5", "image_size": "64", "limit_train": 100, "clip_norm": 1}
    )

    assert protocol.model_dump() == ARTICLE | {
        "epochs": 0.5,
        "image_size": 64,
        "limit_train": 100,
        "clip_norm": 1.0,
    }
    assert PROTOCOLS["article"].model_dump() == ARTICLE


@pytest.mark.parametrize("limit", [1, "auto", None])
def test_limits(limit: int | str | None) -> None:
    assert named_protocol("default", {"limit_train": limit}).limit_train == limit


def test_rates_are_changed_one_by_one() -> None:
    protocol = named_protocol("default", {"rates": {"head": "0.5"}})

    assert protocol.rates.model_dump() == {
        "head_alone": 0.01,
        "head": 0.5,
        "backbone": 0.001,
        "scratch": 0.003,
    }
    assert named_protocol("article", {"rates": {"head": 1}}).rates.head_alone == 0.001
    assert named_protocol("default", {"rates": Rates(head=2)}).rates == Rates(head=2)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"epochs": 0}, "epochs = 0: input should be greater than 0"),
    ({"epochs": 10_001}, "epochs = 10001: input should be less than or equal to 10000"),
    ({"epochs": float("nan")}, "epochs = nan: input should be a finite number"),
    ({"batch_size": 1}, "batch_size = 1: input should be greater than or equal to 2"),
    (
        {"batch_size": 1.5},
        "batch_size = 1.5: input should be a valid integer, got a number with a fractional part",
    ),
    ({"image_size": 7}, "image_size = 7: must be 8 to 4096 pixels, or auto"),
    ({"image_size": 4097}, "image_size = 4097: must be 8 to 4096 pixels, or auto"),
    (
        {"image_size": "own"},
        (
            "image_size = 'own': input should be a valid integer, unable to parse string as an "
            "integer, or input should be 'auto'"
        ),
    ),
    (
        {"validation_fraction": 1},
        "validation_fraction = 1: input should be less than 1",
    ),
    ({"validation_fraction": 0}, "selection by validation needs validation_fraction above 0"),
    ({"limit_train": 0}, "limit_train = 0: must be at least 1"),
    ({"limit_test": -5}, "limit_test = -5: must be at least 1"),
    ({"momentum": 1}, "momentum = 1: input should be less than 1"),
    ({"weight_decay": -1}, "weight_decay = -1: input should be greater than or equal to 0"),
    ({"warmup": 1}, "warmup = 1: input should be less than 1"),
    ({"label_smoothing": 1}, "label_smoothing = 1: input should be less than 1"),
    ({"clip_norm": 0}, "clip_norm = 0: input should be greater than 0"),
    ({"rates": {"head": 0}}, "rates.head = 0: input should be greater than 0"),
    (
        {"rates": 0.1},
        "rates = 0.1: input should be a valid dictionary or instance of Rates",
    ),
    (
        {"schedule": "cos"},
        (
            "schedule = 'cos': "
            "input should be 'constant', 'step', 'linear', 'poly', 'tanh', 'cosine', 'one-cycle' "
            "or 'slanted'"
        ),
    ),
    (
        {"augment": "mixup"},
        ("augment = 'mixup': input should be 'none', 'flip', 'crop', 'resized-crop' or 'trivial'"),
    ),
    ({"erasing": 1.1}, "erasing = 1.1: input should be less than or equal to 1"),
    ({"mixup": -1}, "mixup = -1: input should be greater than or equal to 0"),
    ({"cutmix": 101}, "cutmix = 101: input should be less than or equal to 100"),
    ({"selection": "test"}, "selection = 'test': input should be 'validation' or 'last'"),
    (
        {"precision": "fp16"},
        "precision = 'fp16': input should be 'default', 'auto', 'fp32', 'tf32' or 'bf16'",
    ),
]


REFUSED += [
    (
        {"evaluate": ["drfit"]},
        "evaluate = ['drfit']: unknown measure 'drfit'; did you mean 'drift'?",
    ),
    ({"evaluate": "ood"}, "evaluate = 'ood': write the data set behind ood, as in ood:digits"),
    (
        {"evaluate": ["drift:3"]},
        "evaluate = ['drift:3']: drift has no parameter, got 'drift:3'",
    ),
    (
        {"evaluate": ["ood:" + "x" * 197]},
        (f"evaluate = ['ood:{'x' * 111}...: longer than 200 characters: 'ood:{'x' * 112}..."),
    ),
]


@pytest.mark.parametrize(("changes", "expected"), REFUSED)
def test_refused_change(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(RequestError) as caught:
        named_protocol("default", changes)

    assert str(caught.value) == f"protocol 'default': {expected}"


def test_validation_is_needed_by_the_selection_alone() -> None:
    changes = {"validation_fraction": 0, "selection": "last"}

    assert named_protocol("default", changes).validation_fraction == 0.0
    with pytest.raises(RequestError, match="needs validation_fraction above 0"):
        named_protocol("article", {"selection": "validation"})


def test_unknown_keys() -> None:
    with pytest.raises(RequestError) as caught:
        named_protocol("default", {"epoch": 3})
    assert str(caught.value) == (
        "protocol 'default' has no option 'epoch'; did you mean 'epochs'? options: augment, "
        "batch_size, clip_norm, cutmix, decay_all, epochs, erasing, evaluate, image_size, "
        "label_smoothing, limit_test, limit_train, mixup, momentum, name, optimizer, precision, "
        "rates, schedule, selection, skip_unreadable, step_at, step_factor, tune, "
        "validation_fraction, warmup, weight_decay"
    )
    with pytest.raises(RequestError) as caught:
        named_protocol("default", {"rates": {"haed": 1}})
    assert str(caught.value) == (
        "protocol 'default' has no option 'rates.haed'; did you mean 'head'? "
        "options: backbone, head, head_alone, scratch"
    )


def test_unknown_protocol() -> None:
    with pytest.raises(RequestError) as caught:
        named_protocol("artcle")
    assert str(caught.value) == "unknown protocol 'artcle'; did you mean 'article'?"
    with pytest.raises(RequestError) as caught:
        named_protocol("zz")
    assert str(caught.value) == "unknown protocol 'zz'; known: article, default, pretrain"


def test_measures_are_sorted_and_stand_once() -> None:
    asked = ["ood:digits", "drift", "ood:digits", "attribution"]

    protocol = named_protocol("default", {"evaluate": asked})

    assert protocol.evaluate == ("attribution", "drift", "ood:digits")
    assert named_protocol("default", {"evaluate": "drift"}).evaluate == ("drift",)
    assert protocol.model_dump()["evaluate"] == ("attribution", "drift", "ood:digits")
    assert "evaluate" not in named_protocol("default", {"evaluate": []}).model_dump()


def test_a_protocol_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Protocol().epochs = 4.0  # type: ignore[misc]


def test_differences() -> None:
    base = Protocol()

    assert differences(base, base) == {}
    assert differences(named_protocol("default", {"epochs": 5, "rates": {"head": 1}}), base) == {
        "epochs": 5.0,
        "rates": {"head_alone": 0.01, "head": 1.0, "backbone": 0.001, "scratch": 0.003},
    }
