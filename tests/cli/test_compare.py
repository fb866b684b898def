"""`sftbench compare` on results that are kept here: what it prints, and what a mistake ends in."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sftbench import Results
from sftbench.cli import main as command_line

KEPT = Path(__file__).parent.parent.parent / "results"
REFERENCE = KEPT / "reference-cpu"
BALANCED = ["-d", "fashion-mnist-mini", "--variant", "balanced"]


def call(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["sftbench", "compare", *arguments])
    with pytest.raises(SystemExit) as ended:
        command_line()
    output = capsys.readouterr()
    return int(ended.value.code or 0), output.out, output.err


def test_two_strategies_down_to_the_examples(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call([str(REFERENCE), "full", "head-only", *BALANCED], monkeypatch, capsys)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "tf_efficientnet_lite0 · pretrained · fashion-mnist-mini / balanced"
    assert lines[2] == "full is better than head-only: accuracy +.043"
    # Seed 0, recounted from the Parquet files: 103 images only full has right, 53 only head-only.
    assert "     0  .837       .787  +.050           103            53      <.001    <.001" in lines
    assert any(line.startswith("  Coat           108   100  .760") for line in lines)
    assert any(line.startswith("    204  Pullover") for line in lines)
    assert max(map(len, lines)) <= 100


def test_json_is_what_python_gives(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(REFERENCE), "lp-ft", "scratch", *BALANCED, "--json", "--examples", "3"]
    code, out, _ = call(arguments, monkeypatch, capsys)
    found = Results(REFERENCE).compare(
        "lp-ft", "scratch", dataset="fashion-mnist-mini", variant="balanced", num_examples=3
    )
    [section] = json.loads(out)["sections"]
    assert code == 0
    assert section["comparison"]["p_adjusted"] == found.sections[0].comparison.p_adjusted
    assert section["family"] == "every comparison with scratch"
    assert len(section["details"]["examples"]) == 3


def test_markdown_and_another_metric(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(REFERENCE), "full", "head-only", *BALANCED, "--metric", "ece"]
    code, out, _ = call([*arguments, "--format", "markdown"], monkeypatch, capsys)
    assert code == 0
    assert out.startswith("### tf_efficientnet_lite0 · pretrained")
    assert (
        "inconclusive (a metric that is not the primary one has no population interval): e" in out
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ful", "scratch"], ("unknown group 'ful'; did you mean 'full'? there are: full, "
                             "head-only, lp-ft, scratch")),
        (["full", "full"], "'full' and 'full' are one group; name two"),
        (["\x1b[31m", "full"], ("unknown group '\\x1b[31m'; there are: full, head-only, lp-ft, "
                               "scratch")),
        (["full", "head-only", "-d", "cifar"], ("unknown dataset 'cifar'; did you mean 'cifar10'? "
                                               "there are: cifar10, fashion-mnist-mini")),
        (["full", "head-only", "--metric", "acuracy"], "unknown metric 'acuracy'; did you mean "),
    ],
)  # fmt: skip
def test_mistakes_end_in_one_line(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = call([str(REFERENCE), *arguments], monkeypatch, capsys)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_a_folder_without_results(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, err = call([str(tmp_path), "full", "head-only"], monkeypatch, capsys)
    assert (code, out) == (2, "")
    assert err == f"error: no plan in {tmp_path}; sftbench run --out {tmp_path}\n"


@pytest.mark.slow
@pytest.mark.parametrize("store", sorted(path.name for path in KEPT.iterdir()))
def test_every_kept_store_can_be_compared(
    store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call([str(KEPT / store), "full", "head-only"], monkeypatch, capsys)
    assert (code, err) == (0, "")
    assert "difference" in out
    assert max(map(len, out.splitlines())) <= 100
