"""The plugin as people meet it: installed, found by its entry point, run by name."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

import sftbench


def test_all_three_run_by_name(tmp_path: Path) -> None:
    try:
        distribution("sftbench-example")
    except PackageNotFoundError:
        pytest.skip("sftbench-example is not installed; pip install -e plugins/sftbench-example")
    results = sftbench.run(
        out=tmp_path,
        device="cpu",
        executor="inline",
        backbone="two-conv",
        dataset="stripes",
        strategy=("head-only", "top-blocks:1"),
        seeds=(0,),
        changes={"epochs": 1},
    )
    records = {record.cell.strategy: record for record in results.records}
    assert {name: record.status for name, record in records.items()} == {
        "head-only": "ok",
        "top-blocks:1": "ok",
    }
    plugins = records["top-blocks:1"].provenance["plugins"]
    assert plugins["strategy"] == plugins["dataset"] == "sftbench-example 0.1.0"
    assert records["head-only"].provenance["plugins"]["strategy"].startswith("sftbench ")
