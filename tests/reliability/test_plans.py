"""Measures on the command line: asked for, shown, and refused before anything runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sftbench.cli import main as command_line


def call(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["sftbench", *arguments])
    with pytest.raises(SystemExit) as ended:
        command_line()
    output = capsys.readouterr()
    return int(ended.value.code or 0), output.out, output.err


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_plan_shows_what_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["plan", "-s", "full", "--seeds", "1", "--device", "cpu"]
    flags = ["--ood", "digits", "--corruptions", "--drift", "--attribution"]
    code, out, _ = call([*asked, *flags], monkeypatch, capsys)
    assert code == 0
    assert "\nmeasured besides: attribution, corruptions, drift, ood:digits\n" in out
    _, out, _ = call([*asked, "--drift", "--json"], monkeypatch, capsys)
    assert json.loads(out)["cells"][0]["evaluate"] == ["drift"]
    _, out, _ = call(asked, monkeypatch, capsys)
    assert "measured" not in out


def test_a_plan_file_asks_too_and_options_replace_what_it_asks_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    plan = tmp_path / "p.toml"
    plan.write_text('strategy = "full"\nseeds = 1\n[changes]\nevaluate = ["drift", "ood:digits"]\n')
    code, out, _ = call(["plan", "p.toml", "--device", "cpu"], monkeypatch, capsys)
    assert code == 0
    assert "measured besides: drift, ood:digits\n" in out
    _, out, _ = call(["plan", "p.toml", "--corruptions"], monkeypatch, capsys)
    assert "measured besides: corruptions\n" in out
    plan.write_text('strategy = "full"\nseeds = 1\n[changes]\nevaluate = ["drift", "ood:digts"]\n')
    code, _, err = call(["plan", "p.toml"], monkeypatch, capsys)
    assert code == 2
    assert err.startswith("error: p.toml:4: unknown dataset 'digts'; did you mean 'digits'")


@pytest.mark.parametrize(
    ("flags", "code", "line"),
    [
        (
            ["--ood", "fashion-mnist-mini"],
            2,
            "error: ood 'fashion-mnist-mini' is the data set of the plan itself; choose another",
        ),
        (
            ["--forgetting"],
            2,
            (
                "error: forgetting needs the data that weights were trained on; add --weights "
                "pretrain:SOURCE"
            ),
        ),
        (["--ood", "folder:nowhere"], 3, "nowhere: no such folder"),
    ],
)
def test_what_cannot_be_measured_ends_in_one_line(
    flags: list[str],
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    done, _, err = call(["run", "--dry-run", "-s", "full", *flags], monkeypatch, capsys)
    assert done == code
    assert line in err
    assert err.count("\n") == 1


def test_a_set_with_images_of_the_target_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from sftbench.builtin.datasets.embedded import FashionMnistMini

    images = np.asarray(FashionMnistMini().load("train", 28).inputs)[:8, ..., 0]
    for split in ("train", "test"):
        for number, image in enumerate(images):
            folder = tmp_path / "taken" / split / "ab"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{number}.png")
    flags = ["--ood", "folder:taken", "-s", "full", "--image-size", "28"]
    code, _, err = call(["run", "--dry-run", *flags], monkeypatch, capsys)
    assert code == 2
    assert "8 of the 4,000 examples of the target fashion-mnist-mini are among the source's" in err
