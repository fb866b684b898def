from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from sftbench import records
from sftbench.plan import Cell
from sftbench.protocol import Protocol
from sftbench.records import MISSING, SCHEMA_VERSION, ClassResult, MetricSpec, Record

CELL = Cell(
    backbone="b",
    weights="pretrained",
    dataset="d",
    variant="balanced",
    strategy="full",
    seed=0,
    task="image-classification",
    options={"tau": 1.0},
    protocol=Protocol(image_size=64, precision="fp32"),
    versions={"strategy": 1},
)
VALUES: dict[str, Any] = {
    "schema_version": 1,
    "cell_id": CELL.cell_id,
    "attempt": 2,
    "cell": CELL.model_dump(mode="json"),
    "status": "crashed",
    "error": {"type": "OSError", "message": "no\nspace", "traceback": "line 1"},
    "metric_specs": [
        {"name": "nll", "direction": "min", "range": [0.0, None], "chance": 2.3, "primary": False},
        {
            "name": "accuracy",
            "direction": "max",
            "range": [0.0, 1.0],
            "chance": 0.1,
            "primary": True,
        },
    ],
    "metrics": {
        "selected": {"test": {"accuracy": 0.5, "nll": None}, "val": {"accuracy": 0.25}},
        "last": {"test": {"accuracy": 0.75}},
    },
    "per_class": [{"label": "é", "train_count": 10, "support": 0, "recall": None}],
    "history": [
        {
            "stage": "train",
            "epoch": 0.5,
            "step": 16,
            "train_loss": None,
            "val_loss": 0.7,
            "val_metric": 0.6,
            "rate": 1e-3,
        }
    ],
    "stages": [
        {
            "name": "train",
            "trainable": 5,
            "steps": 16,
            "examples": 512,
            "frozen_blocks": 0,
            "cached_features": False,
            "views": None,
        }
    ],
    "search": [{"lr": 0.1}],
    "measures": {"latency_seconds_before": 0.25},
    "remarks": ["a mask of 50 % zeros: 0 % smaller"],
    "predictions": {"file": "p.parquet", "sha256": "ab", "rows": 3},
    "timing": {"total_seconds": 1.5, "examples_per_second": 20.0, "shared_by_cells": 2},
    "memory": {"peak_device_bytes": None, "peak_rss_bytes": 7},
    "counts": {"parameters": 11, "budget_factor": 2.0},
    "provenance": {"versions": {"torch": "2"}},
    "started_at": "2026-01-01T00:00:00Z",
    "finished_at": "2026-01-01T00:00:02Z",
}
RECORD = Record.model_validate(VALUES)


def changed(value: object) -> list[object]:
    """Return values of the same kind with one leaf changed, one for each leaf."""
    if isinstance(value, dict):
        return [value | {key: new} for key in value for new in changed(value[key])]
    if isinstance(value, list):
        return [
            [*value[:at], new, *value[at + 1 :]]
            for at in range(len(value))
            for new in changed(value[at])
        ]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1]
    return [f"{value}!" if isinstance(value, str) else None]


def test_round_trip_through_json() -> None:
    sealed = RECORD.sealed()

    again = Record.model_validate_json(sealed.model_dump_json())

    assert again == sealed
    assert again.checksum == again.expected_checksum() == RECORD.expected_checksum()
    assert len(again.checksum) == 16
    assert again.error is not None
    assert again.error.message == "no\nspace"
    assert again.metric_specs[0].range == (0.0, None)
    assert again.cell.cell_id == CELL.cell_id == again.cell_id


def test_sealing_changes_the_checksum_alone() -> None:
    assert RECORD.checksum == ""
    sealed = RECORD.sealed()
    assert sealed.model_copy(update={"checksum": ""}) == RECORD
    assert sealed.sealed() == sealed


def test_the_example_gives_every_field() -> None:
    assert set(VALUES) | {"checksum"} == set(Record.model_fields)


def test_the_checksum_covers_every_leaf() -> None:
    dump = json.loads(RECORD.model_dump_json(exclude={"checksum", "schema_version"}))
    variants = []
    for key, value in dump.items():
        for new in changed(value):
            if new == value:  # None has no neighbour of its own kind
                continue
            # Unchecked, as somebody who edits the file would.
            variants.append(RECORD.model_copy(update={key: new}))
    assert len(variants) > 60

    with pytest.warns(UserWarning, match="Pydantic serializer"):
        sums = {variant.expected_checksum() for variant in variants}

    assert len(sums) == len(variants)
    assert RECORD.expected_checksum() not in sums


def test_clocks_that_came_later_are_left_out_at_nothing() -> None:
    timing = records.Timing(total_seconds=2.0, examples_per_second=3.0)
    assert timing.model_dump() == {
        "setup_seconds": 0.0,
        "warmup_seconds": 0.0,
        "data_wait_seconds": 0.0,
        "train_seconds": 0.0,
        "eval_seconds": 0.0,
        "total_seconds": 2.0,
        "examples_per_second": 3.0,
        "shared_by_cells": 1,
    }
    later = records.Timing(compile_seconds=1.0, reliability_seconds=0.5).model_dump()
    assert (later["compile_seconds"], later["reliability_seconds"]) == (1.0, 0.5)


def test_the_time_to_a_validation_score() -> None:
    row = {"stage": "s", "epoch": 1.0, "step": 1, "train_loss": 0.0, "rate": 0.1}
    history = tuple(
        records.HistoryRow(**row, val_metric=metric, seconds=seconds)
        for metric, seconds in [(None, 1.0), (0.3, 2.0), (0.6, None), (0.5, 4.0), (0.4, 5.0)]
    )
    record = RECORD.model_copy(update={"history": history})
    assert record.seconds_to(0.3) == 2.0
    assert record.seconds_to(0.5) == 4.0
    assert record.seconds_to(0.6) is None  # its time is not known
    assert record.seconds_to(0.9) is None
    lower = record.model_copy(
        update={"metric_specs": (records.MetricSpec(name="m", primary=True, direction="min"),)}
    )
    assert lower.seconds_to(0.4) == 2.0


def test_a_value_in_place_of_none_changes_the_checksum() -> None:
    for update in ({"error": None}, {"predictions": None}):
        assert RECORD.model_copy(update=update).expected_checksum() != RECORD.expected_checksum()


MODELS = [
    model
    for model in vars(records).values()
    if isinstance(model, type) and issubclass(model, records._Frozen) and model.model_fields
]


def test_the_models_were_found() -> None:
    assert len(MODELS) == 10


@pytest.mark.parametrize("model", MODELS)
def test_unknown_field_is_refused(model: type[BaseModel]) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate({"no_such_field": 1})
    assert "extra_forbidden" in {error["type"] for error in caught.value.errors()}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), "nan"])
@pytest.mark.parametrize(
    "values",
    [
        {"metrics": {"selected": {"test": {"accuracy": ...}}}},
        {"timing": {"total_seconds": ...}},
        {"counts": {"budget_factor": ...}},
        {"metric_specs": [{"name": "x", "range": [0.0, ...]}]},
        {"metric_specs": [{"name": "x", "chance": ...}]},
        {"per_class": [{"label": "a", "train_count": 1, "support": 1, "recall": ...}]},
        {
            "history": [{"stage": "s", "epoch": 1.0, "step": 1, "train_loss": ..., "rate": 1.0}],
        },
    ],
)
def test_no_nan_enters_a_record(values: dict[str, Any], number: object) -> None:
    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [filled(inner) for inner in value]
        return number if value is ... else value

    with pytest.raises(ValidationError) as caught:
        Record.model_validate(VALUES | filled(values))
    assert {error["type"] for error in caught.value.errors()} == {"finite_number"}


@pytest.mark.parametrize(
    "update", [{"search": ({"lr": float("nan")},)}, {"provenance": {"x": float("inf")}}]
)
def test_nan_in_free_fields_is_written_as_null_and_the_checksum_holds(
    update: dict[str, Any],
) -> None:
    text = RECORD.model_copy(update=update).sealed().model_dump_json()

    again = Record.model_validate(json.loads(text, parse_constant=pytest.fail))
    assert again.checksum == again.expected_checksum()
    assert (again.search, again.provenance) in [
        (({"lr": None},), RECORD.provenance),
        (RECORD.search, {"x": None}),
    ]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"schema_version": 2}, "literal_error"),
        ({"attempt": 0}, "greater_than_equal"),
        ({"status": "fine"}, "literal_error"),
        ({"metrics": {"best": {}}}, "literal_error"),
        (
            {"per_class": [{"label": "a", "train_count": 1, "support": 1, "recall": 1.5}]},
            "less_than_equal",
        ),
        (
            {"per_class": [{"label": "a", "train_count": -1, "support": 1, "recall": 1.0}]},
            "greater_than_equal",
        ),
        (
            {"per_class": [{"label": "a", "train_count": 2**63, "support": 1, "recall": 1.0}]},
            "less_than_equal",
        ),
        ({"metrics": {"last": {"test": {"accuracy": 1e308}}}}, "less_than_equal"),
        ({"timing": {"total_seconds": 1e300}}, "less_than_equal"),
        ({"cell": None}, "model_type"),
    ],
)
def test_refused_values(values: dict[str, Any], kind: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Record.model_validate(VALUES | values)
    assert [error["type"] for error in caught.value.errors()] == [kind]


def test_primary_and_value() -> None:
    assert RECORD.primary is not None
    assert RECORD.primary.name == "accuracy"
    assert RECORD.model_copy(update={"metric_specs": ()}).primary is None
    assert RECORD.value("accuracy") == 0.5
    assert RECORD.value("accuracy", split="val") == 0.25
    assert RECORD.value("accuracy", which="last") == 0.75
    assert RECORD.value("nll") is None
    assert RECORD.value("nothing") is None
    assert RECORD.value("accuracy", split="nothing") is None
    assert RECORD.value("accuracy", split="val", which="last") is None


def test_defaults_of_a_metric() -> None:
    assert MetricSpec(name="x").model_dump() == {
        "name": "x",
        "primary": False,
        "direction": "max",
        "range": (0.0, 1.0),
        "chance": None,
    }


def test_ends_that_say_nothing_of_the_method() -> None:
    assert {"skipped", "interrupted"} == MISSING
    assert SCHEMA_VERSION == 1


def test_records_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        RECORD.attempt = 3  # type: ignore[misc]


def test_the_score_of_a_class_is_left_out_where_there_is_none() -> None:
    plain = ClassResult(label="a", train_count=1, support=2, recall=0.5)
    assert "score" not in plain.model_dump(mode="json")
    scored = ClassResult(label="a", train_count=1, support=2, recall=0.5, score=0.25)
    assert scored.model_dump(mode="json")["score"] == 0.25
    assert ClassResult.model_validate(scored.model_dump(mode="json")) == scored
