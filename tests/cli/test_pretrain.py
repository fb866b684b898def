"""The two stages from the command line: trained once, kept, used, and refused where unfair."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sftbench.cli import main as command_line

BACKBONE = "test_resnet"
INLINE = ("--executor", "inline", "--seeds", "1")
SMALL = ("--epochs", "1", "--image-size", "32", "--device", "cpu")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cache of its own and two data sets of 48 + 24 images."""
    folder = tmp_path_factory.mktemp("two-stages")
    for name, seed in (("source", 1), ("target", 2)):
        generator = np.random.default_rng(seed)
        (folder / name).mkdir()
        for split, count in (("train", 48), ("test", 24)):
            labels = np.arange(count) % 3
            images = (
                generator.integers(0, 90, (count, 12, 12, 3)) + 80 * labels[:, None, None, None]
            )
            np.save(folder / name / f"{split}_images.npy", images.astype(np.uint8))
            np.save(folder / name / f"{split}_labels.npy", labels)
    return folder


Call = Callable[..., tuple[str, str]]


@pytest.fixture
def sftbench(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Return a function that runs the command line in this process, in the workplace."""
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("SFTBENCH_CACHE", str(workplace / "cache"))
    monkeypatch.setenv("SFTBENCH_PLUGINS", "")

    def call(*arguments: str, code: int = 0) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["sftbench", *arguments])
        with pytest.raises(SystemExit) as ended:
            command_line()
        out, err = capsys.readouterr()
        assert int(ended.value.code or 0) == code, err
        return out, err

    return call


def run(*arguments: str) -> tuple[str, ...]:
    """Return the arguments of a run on the target, in this process."""
    return ("run", "-b", BACKBONE, "-d", "arrays:target", *SMALL, *INLINE, *arguments)


def pretrained(sftbench: Call, *arguments: str) -> dict[str, Any]:
    out, _ = sftbench("pretrain", "-b", BACKBONE, *arguments, *SMALL, "--json")
    document: dict[str, Any] = json.loads(out)
    return document


def records(folder: Path) -> list[Mapping[str, Any]]:
    return [json.loads(path.read_text()) for path in (folder / "cells").rglob("attempt-*.json")]


@pytest.mark.parametrize(
    ("objective", "metric"),
    [("supervised", "accuracy"), ("rotation", "accuracy"), ("simclr", "view_retrieval")],
)
def test_every_objective_trains_validates_and_keeps_weights_with_their_record(
    workplace: Path, sftbench: Call, objective: str, metric: str
) -> None:
    found = pretrained(sftbench, "-d", "arrays:source", "--objective", objective)

    prefix = "" if objective == "supervised" else f"{objective}:"
    assert found["weights"].startswith(f"pretrain:{prefix}arrays:source@")
    assert 0 <= found["metrics"]["val"][metric] <= 1
    record = json.loads(Path(found["record"]).read_text())
    assert record["status"] == "ok"
    assert record["cell"]["weights"] == "none"
    names = load_file(found["file"]).keys()
    assert ("head.weight" in names) is (objective != "simclr")
    out = f"results-{objective}"
    sftbench(*run("-s", "head-only", "--weights", found["weights"], "--out", out))
    [used] = records(workplace / out)
    weights = used["provenance"]["weights"]
    assert used["cell"]["weights"] == weights["effective"] == found["weights"]
    assert weights["origin"].startswith(
        f"sftbench pretrain: {BACKBONE} on {prefix}arrays:source, 1"
    )
    assert len(weights["digest"]) == 64
    table, _ = sftbench("report", out)
    assert found["weights"] in table


def test_two_processes_train_once(workplace: Path) -> None:
    words = ("pretrain", "-b", BACKBONE, "-d", "arrays:source", *SMALL, "--batch-size", "16")
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "sftbench", *words],
            cwd=workplace,
            env={**os.environ, "SFTBENCH_CACHE": "cache", "SFTBENCH_PLUGINS": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outs = [process.communicate(timeout=300) for process in both]

    assert [process.returncode for process in both] == [0, 0], outs
    assert outs[0][0] == outs[1][0]  # one record: its seconds and file too
    assert "trained in" in outs[0][0]


def test_workers_that_find_no_weights_train_them_once(
    workplace: Path, sftbench: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on another machine, which the parent's cache does not reach.
    monkeypatch.setattr("sftbench.session.prepare_weights", lambda *_: None)
    words = ("run", "-b", BACKBONE, "-d", "arrays:target", "-s", "full", "--seeds", "2", *SMALL)

    sftbench(*words, "--weights", "pretrain:arrays:source", "--jobs", "2", "--out", "apart")

    used = [record["provenance"]["weights"] for record in records(workplace / "apart")]
    assert len(used) == 2
    assert len({weights["digest"] for weights in used}) == 1


def test_the_default_recipe_runs_when_its_weights_are_missing(
    workplace: Path, sftbench: Call
) -> None:
    sftbench("weights", "list", "--prune", "all")
    words = run("-s", "full", "--weights", "pretrain:arrays:source", "--out", "default")

    _, first = sftbench(*words)
    _, again = sftbench(*words, "--force")

    said = f"pretraining {BACKBONE} on arrays:source, once: 10 epochs"
    assert said in first
    assert said not in again
    digests = {
        record["provenance"]["weights"]["digest"] for record in records(workplace / "default")
    }
    assert len(digests) == 1


def test_a_source_by_its_path_and_another_precision(workplace: Path, sftbench: Call) -> None:
    source = f"arrays:{workplace}/source"
    words = run("-s", "head-only", "--weights", f"pretrain:{source}", "--precision", "bf16")

    _, err = sftbench(*words, "--out", "path")

    assert f"pretraining {BACKBONE} on {source}, once" in err
    [record] = records(workplace / "path")
    assert record["status"] == "ok"
    assert record["cell"]["weights"].startswith(f"pretrain:{source}@")


def test_weights_of_images_that_have_changed_are_not_used(workplace: Path, sftbench: Call) -> None:
    shutil.copytree(workplace / "source", workplace / "changing")
    found = pretrained(sftbench, "-d", "arrays:changing")
    images = np.load(workplace / "changing" / "train_images.npy")
    np.save(workplace / "changing" / "train_images.npy", images[::-1])

    words = ("pretrain", "-b", BACKBONE, "-d", "arrays:changing", *SMALL)
    for command in (words, run("--weights", found["weights"], "--out", "changed")):
        _, err = sftbench(*command, code=3)
        key = found["weights"].rpartition("@")[2]
        assert err == (
            "error: weights pretrain:arrays:changing: its images are not those that were trained "
            f"on; train anew after: sftbench weights list --prune pretrained/{key}\n"
        )


def test_a_key_belongs_to_its_source(workplace: Path, sftbench: Call) -> None:
    found = pretrained(sftbench, "-d", "arrays:source")
    key = found["weights"].rpartition("@")[2]
    shutil.copytree(workplace / "source", workplace / "other", dirs_exist_ok=True)

    _, err = sftbench(*run("--weights", f"pretrain:arrays:other@{key}", "--out", "c"), code=2)

    assert err == (
        f"error: weights pretrain:arrays:other@{key}: those of this key were trained on "
        "'arrays:source'\n"
    )


def test_a_network_of_fixed_size_is_told_before_it_is_trained(
    workplace: Path, sftbench: Call
) -> None:
    words = ("run", "-b", "test_vit", "-d", "arrays:target", "-w", "pretrain:arrays:source")
    _, err = sftbench(*words, *SMALL, *INLINE, "--out", "vit", code=2)
    assert "1 of another shape (pos_embed" in err
    assert "pretraining" not in err


def test_records_of_different_weights_under_one_name_are_told(
    workplace: Path, sftbench: Call
) -> None:
    import timm

    words = ("run", "-b", BACKBONE, "-d", "arrays:target", "-s", "head-only", *SMALL)
    for seed in (0, 1):
        torch.manual_seed(seed)
        torch.save(timm.create_model(BACKBONE).state_dict(), workplace / "mine.pth")
        _, err = sftbench("weights", "import", BACKBONE, "mine.pth")
        assert ("takes the place of those imported before" in err) is (seed == 1)
        out, _ = sftbench(
            *words, "--executor=inline", "--seeds", f"{seed}-{seed}", "--out", "mixed"
        )
    sftbench("weights", "list", "--prune", "all")
    assert "head-only: its records start from 2 different weights of one name" in out


@pytest.mark.parametrize(
    "source", ["arrays:target", "rotation:arrays:target", "simclr:arrays:target"]
)
def test_a_source_with_images_of_the_target_is_refused(
    workplace: Path, sftbench: Call, source: str
) -> None:
    _, err = sftbench(*run("--weights", f"pretrain:{source}", "--out", "refused"), code=2)
    assert err == (
        f"error: weights pretrain:{source}: 48 of the 72 examples of the target arrays:target are "
        "among the source's; choose another source\n"
    )
    assert not (workplace / "refused").exists()


def test_a_joint_source_with_images_of_the_target_is_refused(
    workplace: Path, sftbench: Call
) -> None:
    shutil.copytree(workplace / "target", workplace / "copy")
    _, err = sftbench(*run("-s", "joint:arrays:copy", "--out", "leak"), code=2)
    assert err == (
        "error: source arrays:copy of strategy 'joint:arrays:copy': 48 of the 72 examples of the "
        "target arrays:target are among the source's; choose another source\n"
    )
    assert not (workplace / "leak").exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_persons_own_file(workplace: Path, sftbench: Call, suffix: str) -> None:
    import timm

    torch.manual_seed(3)
    state = timm.create_model(BACKBONE).state_dict()
    file = workplace / f"mine{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(dict(state), file)
    words = run("-s", "head-only", "-w", file.name, "--out", f"out{suffix}")

    _, err = sftbench(*words)

    [record] = records(workplace / f"out{suffix}")
    weights = record["provenance"]["weights"]
    assert record["cell"]["weights"].startswith(f"mine{suffix}@")
    assert weights["dropped_head"] == "fc"
    assert f"weights {record['cell']['weights']}: the head 'fc' in it is left out" in err
    # Another content under the same name is another cell.
    state["fc.bias"] = state["fc.bias"] + 1
    (save_file if suffix == ".safetensors" else torch.save)(dict(state), file)
    sftbench(*words)
    assert len({r["cell_id"] for r in records(workplace / f"out{suffix}")}) == 2


def test_imported_weights_are_the_pretrained_ones(workplace: Path, sftbench: Call) -> None:
    import timm

    state = timm.create_model(BACKBONE).state_dict()
    torch.save({"state_dict": {f"module.{k}": t for k, t in state.items()}}, workplace / "got.pth")

    out, err = sftbench("weights", "import", BACKBONE, "got.pth")

    assert f"now: sftbench run --backbone {BACKBONE}" in out
    assert err == "its head 'fc' is kept apart\n"
    verified, _ = sftbench("weights", "verify", BACKBONE)
    assert "tensors fit; imported: got.pth@" in verified
    listed, _ = sftbench("weights", "list", "--cache")
    assert f"weights/imported-{BACKBONE}-" in listed
    pruned, _ = sftbench("weights", "list", "--prune", "all")
    assert "removed weights/imported-" in pruned


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ("-w", "pretrained1"),
            2,
            "unknown weights 'pretrained1'; did you mean 'pretrained' or 'pretrain:SOURCE'?",
        ),
        (("-w", "pretrain:"), 2, "weights 'pretrain:' need a data set: pretrain:SOURCE"),
        (("-w", "pretrain:digitz"), 2, "unknown dataset 'digitz'; did you mean 'digits'?"),
        (("-w", "none.pt"), 3, "weights none.pt: no such file"),
        (("-w", "./nothing"), 3, "weights nothing: no such file"),
        (
            ("-w", "pretrain:digits@0123456789ab"),
            3,
            "weights pretrain:digits@0123456789ab: not in the cache of this machine, and not those",
        ),
        (
            ("-w", "lost.pt@0123456789ab"),
            3,
            "weights lost.pt@0123456789ab: no file with this content is in the cache; name the",
        ),
        (("-w", "target"), 2, "unknown weights 'target'; known: "),
        (("-w", "./target"), 3, "weights target: not a regular file"),
        (
            ("-w", "pretrain:digits@zz"),
            2,
            "weights 'pretrain:digits@zz': 'zz' is no key; a key is 12 digits of 0-9 and a-f",
        ),
    ],
)
def test_mistakes(sftbench: Call, arguments: tuple[str, ...], code: int, message: str) -> None:
    out, err = sftbench(*run("-s", "full", "--out", "mistakes", *arguments), code=code)
    assert out == ""
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--objective", "simclrr"), "unknown objective 'simclrr'; did you mean 'simclr'?"),
        (
            ("--objective", "folder"),
            "unknown objective 'folder'; known: rotation, simclr, supervised",
        ),
        (("--protocol", "x"), "unknown protocol 'x'; known: article, default, pretrain"),
        (("--epochs", "0"), "protocol 'pretrain': epochs = 0"),
        (("--optimizer", "foo"), "unknown optimizer 'foo'"),
    ],
)
def test_mistakes_of_pretraining(sftbench: Call, arguments: tuple[str, ...], message: str) -> None:
    words = ("pretrain", "-b", BACKBONE, "-d", "arrays:source")
    _, err = sftbench(*words, *arguments, code=2)
    assert err.startswith(f"error: {message}")


def test_a_file_that_does_not_fit_is_told_by_its_name_and_not_kept(
    workplace: Path, sftbench: Call
) -> None:
    sftbench("weights", "list", "--prune", "all")  # what other tests have kept here
    (workplace / "bad\nname.pt").write_bytes(b"")
    torch.save({"a": torch.zeros(1)}, workplace / "other.pt")

    _, err = sftbench(*run("-w", "./bad\nname.pt", "--out", "n"), code=3)
    assert err == "error: weights bad name.pt: an empty file\n"
    _, err = sftbench(*run("-w", "other.pt", "--out", "n"), code=2)
    assert err.startswith("error: weights other.pt@")
    listed, _ = sftbench("weights", "list", "--cache")
    assert "file-" not in listed
