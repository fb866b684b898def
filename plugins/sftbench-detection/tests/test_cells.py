"""Whole cells: what the engine makes of the task, and what a report makes of the records."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest
from few_scenes import CATALOG, FewScenes, NarrowSsdLite
from sftbench_detection import coco
from sftbench_detection.layout import KEPT_WIDTH, Kept

import sftbench
from sftbench.api import RequestError
from sftbench.builtin.strategies.scratch import Scratch
from sftbench.testing import run_tiny


def test_a_cell_is_scored_by_what_was_kept() -> None:
    record, kept = run_tiny(
        NarrowSsdLite, FewScenes, Scratch, base=CATALOG, epochs=2, image_size=64
    )
    assert record.status == "ok", record.error
    assert kept is not None
    test = kept["test", "selected"]
    assert test.outputs.shape == (16, KEPT_WIDTH)
    assert record.value("ap") == coco.summary(test.outputs).ap()
    assert {row.val_loss for row in record.history} == {None}
    examples = FewScenes().load("test", 128)
    objects = Kept.of(test.outputs).objects
    found = (objects[..., 3] > 0).sum(axis=1)
    assert found.tolist() == np.asarray(examples.class_counts)[test.index].sum(axis=1).tolist()
    assert [one.support for one in record.per_class] == np.asarray(examples.class_counts).sum(
        axis=0
    ).tolist()


def test_mixing_and_unknown_augmentations_are_refused_when_the_plan_is_made() -> None:
    for changes in ({"mixup": 0.2}, {"augment": "crop"}):
        with pytest.raises(RequestError, match="'detection'"):
            run_tiny(NarrowSsdLite, FewScenes, Scratch, base=CATALOG, image_size=64, **changes)


def test_reports_need_neither_torch_nor_a_device() -> None:
    program = """
import sys
import numpy as np
import sftbench_detection
from sftbench_detection.task import Detection
from sftbench_detection.metrics import Ap
from sftbench_detection import coco, statistics
from sftbench_detection.layout import KEPT_WIDTH
kept = np.zeros((2, KEPT_WIDTH), np.float32)
kept[:, 0] = 3
assert coco.summary(kept).ap() is None
Detection().primary_from_sums(statistics.of_images(kept).sum(axis=0))
assert "torch" not in sys.modules, "torch"
"""
    paths = {str(Path(module.__file__ or "").parents[1]) for module in (sftbench, coco)}
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sorted(paths)}\n{program}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_all_run_by_name(tmp_path: Path) -> None:
    try:
        distribution("sftbench-detection")
    except PackageNotFoundError:
        pytest.skip(
            "sftbench-detection is not installed; pip install -e plugins/sftbench-detection"
        )
    results = sftbench.run(
        out=tmp_path,
        device="cpu",
        executor="inline",
        backbone="ssdlite:tf_efficientnet_lite0",
        dataset="scene-boxes",
        strategy=("head-only",),
        baseline="head-only",
        seeds=(0,),
        changes={"epochs": 1, "limit_train": 40, "limit_test": 16, "image_size": 64},
    )
    [record] = results.records
    assert record.status == "ok", record.error
    assert record.counts is not None
    # The body saw each training, validation and test image once, and nothing went back through it.
    assert record.counts.prefix_forward <= 56
    assert record.stages[0].cached_features
    assert record.provenance["plugins"]["task"] == "sftbench-detection 0.1.0"
