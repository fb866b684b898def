"""Strategies of sftbench on texts: they run as they are."""

from __future__ import annotations

from typing import Any

import pytest
from sftbench_text.datasets.embedded import PythonDocsMini
from tiny_bert import TinyBert

from sftbench.api import Record, Strategy
from sftbench.catalog import Catalog
from sftbench.cell import Kept
from sftbench.errors import RequestError
from sftbench.testing import run_tiny

_SMALL = {"limit_train": 80, "limit_test": 40, "image_size": 24}


def run(catalog: Catalog, name: str, **changes: Any) -> tuple[Record, Kept | None]:
    strategy = catalog.get("strategy", name)
    assert issubclass(strategy, Strategy)
    return run_tiny(TinyBert, PythonDocsMini, strategy, base=catalog, **{**_SMALL, **changes})


@pytest.mark.parametrize(
    ("name", "frozen"),
    [
        ("full", [0]),
        ("head-only", [3]),
        ("logistic-probe", [3]),
        ("lp-ft", [3, 0]),
        ("scratch", [0]),
        ("balanced-softmax", [0]),
        ("logit-adjust", [0]),
        ("class-balanced-sampling", [0]),
    ],
)
def test_strategies_run_unchanged(catalog: Catalog, name: str, frozen: list[int]) -> None:
    record, kept = run(catalog, name)
    assert record.status == "ok", record.error
    assert [stage.frozen_blocks for stage in record.stages] == frozen
    assert kept is not None
    assert kept["test", "selected"].outputs.shape == (40, 5)
    assert record.value("accuracy") is not None
    assert record.primary is not None
    assert record.primary.chance == pytest.approx(1 / 5)


def test_the_record_tells_units_and_cut_texts(catalog: Catalog) -> None:
    record, _ = run(catalog, "head-only")
    data = record.provenance["data"]
    assert data["units"] == ["tokens", "texts"]
    assert data["notes"]["train"]["texts"] == 500
    assert 0 < data["notes"]["train"]["cut to 24 tokens"] < 500


def test_full_fine_tuning_learns(catalog: Catalog) -> None:
    record, _ = run(
        catalog, "full", epochs=6, limit_train=300, limit_test=200, rates={"backbone": 3e-3}
    )
    accuracy = record.value("accuracy")
    assert accuracy is not None
    assert accuracy > 0.4  # chance is 0.2


def test_texts_are_not_mixed(catalog: Catalog) -> None:
    with pytest.raises(RequestError, match="task 'text-classification' has nothing that could be"):
        run(catalog, "full", mixup=0.2)


def test_a_backbone_of_images_is_skipped(catalog: Catalog) -> None:
    strategy = catalog.get("strategy", "full")
    with pytest.raises(RequestError, match="does not serve task text-classification"):
        run_tiny(PythonDocsMini, strategy, base=catalog, **_SMALL)
