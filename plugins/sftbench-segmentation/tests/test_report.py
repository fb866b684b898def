"""Records of segmentation beside others in one store: with the package, and without; no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parents[1]
RUN = """
import sys
import sftbench

body = "tf_efficientnet_lite0"
for backbone, dataset in ((f"lraspp:{body}", "scene-masks"), (body, "digits")):
    sftbench.run(
        out=sys.argv[1],
        device="cpu",
        executor="inline",
        backbone=backbone,
        dataset=dataset,
        strategy=("head-only", "scratch"),
        seeds=(0, 1),
        changes={"epochs": 1, "limit_train": 24, "limit_test": 16, "image_size": 32},
    )
"""
REPORT = '''
import sys


class Refused:
    """A finder that answers before every other."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ImportError(f"{name} must not be imported")


sys.meta_path.insert(0, Refused())
from sftbench.cli import main

sys.argv = ["sftbench", "report", *sys.argv[2:]]
main()
'''


def python(script: str, *words: str, plugins: str, folder: Path, site: Path) -> str:
    parts = [str(site), str(HERE), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, parts)),
        "SFTBENCH_PLUGINS": plugins,
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the metadata that an installation would have."""
    folder = tmp_path_factory.mktemp("site")
    info = folder / "sftbench_segmentation-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: sftbench-segmentation\nVersion: 0.1.0\n")
    line = "sftbench-segmentation = sftbench_segmentation\n"
    (info / "entry_points.txt").write_text(f"[sftbench]\n{line}")
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, site: Path) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    python(RUN, str(out), plugins="sftbench-segmentation", folder=out.parent, site=site)
    return out


WITHOUT = "torch,timm,torchvision,sklearn"


@pytest.mark.parametrize("is_here", [True, False])
def test_a_report_keeps_tasks_apart(store: Path, site: Path, *, is_here: bool) -> None:
    plugins = "sftbench-segmentation" if is_here else ""
    refused = WITHOUT if is_here else f"{WITHOUT},sftbench_segmentation"
    shown = python(
        REPORT, refused, str(store), "--format", "json", plugins=plugins, folder=store, site=site
    )
    rows = json.loads(shown)
    assert {(row["task"], row["metric"], row["direction"]) for row in rows} == {
        ("segmentation", "mean_iou", "max"),
        ("image-classification", "accuracy", "max"),
    }
    for task in ("segmentation", "image-classification"):
        mine = [row for row in rows if row["task"] == task]
        assert sorted(row["strategy"] for row in mine) == ["head-only", "scratch"]
        # Two in each section: ranked among themselves.
        assert sorted(row["rank"] for row in mine) in ([1, 1], [1, 2])
        assert all(row["mean"] is not None for row in mine)
    # What intervals are made from stands beside the records: they need no package.
    [mine] = [r for r in rows if (r["task"], r["strategy"]) == ("segmentation", "head-only")]
    assert mine["mean_low_population"] is not None


def test_the_table_names_the_metric_without_the_package(store: Path, site: Path) -> None:
    refused = f"{WITHOUT},sftbench_segmentation"
    shown = python(REPORT, refused, str(store), plugins="", folder=store, site=site)
    assert "lraspp:tf_efficientnet_lite0 · pretrained · scene-masks / balanced" in shown
    assert "mean_iou" in shown
