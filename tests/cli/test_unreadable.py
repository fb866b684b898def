"""A run on a person's own images, one of them cut off: told before any cell, or left out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent.parent
PLUGIN = """
from sftbench.api import hookimpl
from sftbench.testing import TinyBackbone

@hookimpl
def sftbench_backbones():
    return [TinyBackbone]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plugin of a tiny backbone, and `own`: images of two classes, one cut off."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "tiny_plugin.py").write_text(PLUGIN)
    info = folder / "tiny_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sftbench]\ntiny = tiny_plugin\n")
    generator = np.random.default_rng(0)
    for label, name in enumerate(("ant", "bee")):
        for split, count in (("train", 12), ("test", 4)):
            (folder / "own" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(100 * label, 100 * label + 99, (40, 36, 3))
                image = Image.fromarray(pixels.astype(np.uint8))
                image.save(folder / "own" / split / name / f"{number}.jpg")
    broken = folder / "own/train/bee/3.jpg"
    broken.write_bytes(broken.read_bytes()[:400])
    return folder


def call(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = [str(place), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    asked = ["run", "-b", "tiny-convnet", "-w", "none", "-s", "full", "--baseline", "full",
             "--seeds", "1", "--epochs", "1", "--batch-size", "8", "--image-size", "32",
             "--device", "cpu"]  # fmt: skip
    cache = {"SFTBENCH_CACHE": str(place / "cache")}
    return subprocess.run(
        [sys.executable, "-m", "sftbench", *asked, *arguments],
        cwd=place,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **cache},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_an_unreadable_image_ends_the_run_before_it_begins(place: Path) -> None:
    done = call(place, "-d", "folder:own", "--out", "stopped", "--executor", "inline")
    assert done.returncode == 3, done.stderr
    assert done.stderr == (
        "error: own/train/bee/3.jpg: not a whole image; 1 of 24 train examples cannot be read: "
        "mend or remove them, or leave them out with --skip-unreadable\n"
    )
    assert done.stdout == ""
    assert not list(place.glob("stopped/cells/*"))


def test_with_skip_unreadable_it_is_left_out_counted_and_said(place: Path) -> None:
    done = call(place, "-d", "folder:own", "--out", "skipped", "--skip-unreadable")
    assert done.returncode == 0, done.stderr
    line = (
        "note: folder:own: 1 of 24 train examples cannot be read and are left out, the first: "
        "own/train/bee/3.jpg: not a whole image"
    )
    assert done.stderr.splitlines().count(line) == 1
    assert "note: examples left out because they cannot be read: 1 train" in done.stdout
    [file] = place.glob("skipped/cells/*/*.json")
    record = json.loads(file.read_text())
    assert record["provenance"]["data"]["unreadable"] == {"train": 1, "test": 0}
    assert record["provenance"]["data"]["source"] == ("image files in own; test/ is the test split")
    assert record["counts"]["train_examples"] + record["counts"]["val_examples"] == 23
    assert record["cell"]["protocol"]["skip_unreadable"] is True
    # The run and its worker decoded each split once between them.
    assert len(list(place.glob("cache/arrays/*/inputs.npy"))) == 2


def test_a_table_is_run_as_well(place: Path) -> None:
    rows = [f"own/test/{name}/{n}.jpg,{name}" for name in ("ant", "bee") for n in range(4)]
    (place / "labels.csv").write_text("\n".join(["path,label", *rows, ""]))
    done = call(place, "-d", "csv:labels.csv", "--out", "table", "--executor", "inline")
    assert done.returncode == 0, done.stderr
    (place / "labels.csv").write_text("\n".join(["path,label", *rows, "gone.jpg,bee"]))
    done = call(place, "-d", "csv:labels.csv", "--out", "gone", "--executor", "inline")
    assert done.returncode == 3
    assert "error: labels.csv line 10: gone.jpg: no such file or directory; 1 of " in done.stderr
