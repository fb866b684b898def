"""What `sftbench plan` prints: cells, what is done, the cost, and what the seeds can detect."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sftbench.cli import main as command_line

REFERENCE = Path(__file__).parent.parent.parent / "results" / "reference-cpu"


def plan(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    monkeypatch.setattr(sys, "argv", ["sftbench", "plan", "--device", "cpu", *arguments])
    with pytest.raises(SystemExit) as ended:
        command_line()
    out, err = capsys.readouterr()
    assert (ended.value.code, err) == (0, "")
    return out


def test_a_plan_that_has_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = plan(["--out", str(REFERENCE)], monkeypatch, capsys).splitlines()
    full = (
        "tf_efficientnet_lite0  pretrained  fashion-mnist-mini  balanced  full  7 seeds, 0 to run"
    )
    assert lines[1] == full
    assert lines[8:10] == [
        "56 cells, 0 to run, 0 skipped",
        "nothing to run: every cell has a record",
    ]
    assert lines[10] == (
        "7 seeds, 3 comparisons: adjusted p can reach 0.047; detects a true difference of 1.9 sd "
        "of the paired differences with 80 % power"
    )
    assert lines[11] == (
        "  full against head-only, tf_efficientnet_lite0 on fashion-mnist-mini/balanced: "
        "sd 0.00849 over 7 pairs here, so a difference of 0.016 in accuracy"
    )
    assert len(lines) == 17


def test_a_plan_that_has_not_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = plan(["--seeds", "3"], monkeypatch, capsys).splitlines()
    assert lines[-3:-1] == [
        "24 cells, 24 to run, 0 skipped",
        "cost: no comparable cell has run here yet, so there is no estimate",
    ]
    assert lines[-1] == (
        "3 seeds, 3 comparisons: adjusted p can reach 0.750; no comparison can decide: "
        "inconclusive (needs 7 seeds)"
    )
    assert list(tmp_path.iterdir()) == []


def test_more_seeds_are_estimated_by_those_that_ran(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = plan(["--seeds", "9", "--out", str(REFERENCE), "-s", "full"], monkeypatch, capsys)
    assert "9 cells, 2 to run, 0 skipped\ncost: about 46 s of one worker, by the records in" in out


def test_json_has_it_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(plan(["--out", str(REFERENCE), "--json"], monkeypatch, capsys))
    assert (len(document["cells"]), document["due"], document["estimated_seconds"]) == (56, 0, 0)
    assert len(document["detectable"]) == 6
    first = document["detectable"][0]
    assert (first["strategy"], first["against"], first["variant"]) == (
        "full",
        "head-only",
        "balanced",
    )
    assert (first["num_seeds"], first["num_comparisons"], first["num_pairs"]) == (7, 3, 7)
    assert first["difference"] == pytest.approx(first["in_deviations"] * first["deviation"])


def test_an_alpha_that_no_seed_reaches(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "strict.toml"
    path.write_text("seeds = 3\ncriteria.alpha = 1e-9\n")
    out = plan([str(path), "--out", str(tmp_path / "out")], monkeypatch, capsys)
    assert out.endswith("0.750; no number of seeds is enough for a verdict\n")
