"""Contestants on a network and images so small that each trains in a moment."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.peers.contestants import CONTESTANTS, article, bare, bare_plain, engine, timm_loader
from benchmarks.peers.images import arrays
from benchmarks.peers.starting import write_start
from benchmarks.peers.work import Work
from sftbench.testing.tiny import tiny_process


@pytest.fixture(autouse=True)
def quiet_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))  # the plugin of the benchmarks goes there
    with tiny_process():
        yield


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    """Return two epochs on 40 images in batches of 8, from random weights that are in a file."""
    (tmp_path / "cache").mkdir()
    monkeypatch.setenv("SFTBENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "images"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for split, count in (("train", 40), ("test", 10)):
        pixels = generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        np.save(folder / f"{split}_images.npy", pixels)
        np.save(folder / f"{split}_labels.npy", np.arange(count, dtype=np.int64) % 10)
    (folder / "dataset.json").write_text(json.dumps({"horizontal_flip": True}))
    made = Work(
        kind="full",
        backbone="test_resnet",
        weights="none",
        start=str(tmp_path / "start.safetensors"),
        folder=str(folder),
        num_images=40,
        image_size=32,
        batch_size=8,
        epochs=2,
        device="cpu",
        strategies=("full",),
    )
    write_start(made)
    return made


STRATEGY = {"full": "full", "frozen": "head-only", "lp-ft": "lp-ft"}


@pytest.mark.parametrize("kind", STRATEGY)
@pytest.mark.parametrize("module", [article, timm_loader, engine], ids=lambda m: m.__name__[28:])
def test_everybody_does_the_same_work(work: Work, kind, module) -> None:
    asked = replace(work, kind=kind, strategies=(STRATEGY[kind],))
    run = module.prepare(asked)
    for outcome in (run(), run()):  # rounds are alike
        assert (outcome.images, outcome.steps) == (80, 10)
        assert outcome.problem(asked) is None
        assert outcome.backbone_moved is (kind != "frozen")
        assert 1.0 < outcome.first_loss < 4.0
        assert outcome.seconds > 0


@pytest.mark.parametrize("module", [bare, bare_plain], ids=["bare", "bare-plain"])
def test_bare_steps_are_as_many(work: Work, module) -> None:
    outcome = module.prepare(work)()
    assert (outcome.images, outcome.steps) == (80, 10)
    assert outcome.final_loss < outcome.first_loss  # one batch, again and again


@pytest.mark.slow  # half a minute of imports
@pytest.mark.parametrize("name", ["lightning", "trainer", "fastai"])
def test_the_libraries_too(work: Work, name: str) -> None:
    _module, package = CONTESTANTS[name]
    if importlib.util.find_spec(str(package)) is None:
        pytest.skip(f"{package} is not installed: the extra `peers`")
    # In a process of its own: the libraries warn, patch and print.
    import subprocess
    from dataclasses import asdict

    lines = [{"do": "load", "with": []}, {"do": "run", "with": [asdict(work)]}]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers.worker", name],
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    loaded, ran = (json.loads(line) for line in done.stdout.splitlines())
    assert loaded == {"ok": None}
    assert (ran["ok"]["images"], ran["ok"]["steps"]) == (80, 10), done.stderr
    assert ran["ok"]["backbone_moved"]
    assert ran["ok"]["head_moved"]


def test_models_start_from_the_weights_of_sftbench(work: Work) -> None:
    from benchmarks.peers.starting import build

    start = load_file(work.start)
    model = build(work)
    assert torch.equal(model.get_classifier().weight, start["head.weight"])
    assert torch.equal(model.conv1[0].weight, start["backbone.model.conv1.0.weight"])


def test_a_variant_has_the_images_that_sftbench_keeps(work: Work) -> None:
    asked = replace(work, variants=("longtail:4",), variant="longtail:4")
    ws = engine.workspace(asked)
    images, targets = arrays(asked)
    kept = np.load(Path(work.folder) / "train_images.npy")[ws.data.train_indices]
    assert 10 <= len(images) < 40
    assert np.array_equal(images, kept)
    assert np.array_equal(targets, ws.data.train_targets)


def test_a_grid_adds_up_and_takes_several_rates(work: Work) -> None:
    asked = replace(work, kind="frozen", strategies=("head-only",), seeds=(0, 1), rates=(0.1, 0.01))
    outcome = engine.prepare(asked)()
    assert (outcome.notes["cells"], outcome.images, outcome.steps) == (4, 320, 40)


def test_passes_are_counted_where_images_enter(work: Work) -> None:
    asked = replace(work, kind="frozen", strategies=("head-only",))
    both = replace(asked, strategies=("head-only", "frozen-focal"))
    [one] = engine.backbone_passes([asked])
    assert one >= 50  # 40 images to train on, 10 to test on
    [two] = engine.backbone_passes([replace(work, strategies=("full",))])
    assert two >= 90  # two epochs, and the test
    [shared] = engine.backbone_passes([both])
    assert shared <= one + 10  # at most the test images again
