"""`sftbench explain`: what it prints and writes, and each mistake in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.stories import PROTOCOL, cell, write_story_store

from sftbench.cli import main as command_line
from sftbench.plan import Plan
from sftbench.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One section with results, and a plan of another variant without any."""
    path = tmp_path_factory.mktemp("explained")
    write_story_store(path)
    other = tuple(cell("full", seed, variant="longtail:50") for seed in range(2))
    Store(path).add_plan(Plan(cells=other))
    return path


def call(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Run the command line in this process and return exit code, standard output and error."""
    monkeypatch.setattr(sys, "argv", ["sftbench", "explain", *arguments])
    with pytest.raises(SystemExit) as ended:
        command_line()
    output = capsys.readouterr()
    return int(ended.value.code or 0), output.out, output.err


def test_a_group_a_row_and_a_cell(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for target in (["full", "--variant", "balanced"], ["2"]):
        code, told, problems = call([str(store), *target], monkeypatch, capsys)
        assert (code, problems) == (0, "")
        assert told.startswith("full\nnet · pretrained · fashion-mnist-mini / balanced\n")
    code, told, _ = call([str(store), cell("full", 1).cell_id[:6]], monkeypatch, capsys)
    assert (code, told.startswith("full, seed 1\n")) == (0, True)


def test_a_group_without_a_result_has_a_story_too(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(store), "full", "--variant", "longtail:50"]
    code, told, problems = call(arguments, monkeypatch, capsys)
    assert (code, problems) == (0, "")
    assert "nothing of the training is recorded" in told
    assert "run the plan again: only what is missing runs" in told
    page = store / "empty.html"
    assert call([*arguments, "-o", str(page)], monkeypatch, capsys)[0] == 0
    assert "Nothing of the training is recorded." in page.read_text(encoding="utf-8")


MISTAKES = [
    (["full"], "error: 2 sections have 'full'; choose by --variant (balanced, longtail:50)"),
    (
        ["ful", "--variant", "balanced"],
        "error: unknown group 'ful'; did you mean 'full'? there are: full, head-only",
    ),
    (["feedface"], "error: unknown group or cell 'feedface'; there are: full, head-only"),
    (["99"], "error: the table has no row 99; its rows are 1 to 3"),
    (
        ["full", "-d", "digits"],
        "error: unknown dataset 'digits'; there are: fashion-mnist-mini",
    ),
    (
        ["full", "--protocol", "article"],
        f"error: unknown protocol 'article'; there are: DIGEST, {PROTOCOL.name}",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_mistakes(
    store: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, told, problems = call([str(store), *arguments], monkeypatch, capsys)
    digest = cell("full", 0).section[-1]
    assert (code, told, problems) == (2, "", f"{message.replace('DIGEST', digest)}\n")


def test_places_that_are_wrong(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, problems = call([str(tmp_path), "full"], monkeypatch, capsys)
    assert (code, problems) == (
        2,
        f"error: no plan in {tmp_path}; sftbench run --out {tmp_path}\n",
    )
    page = tmp_path / "none" / "story.html"
    code, _, problems = call([str(store), "2", "-o", str(page)], monkeypatch, capsys)
    assert (code, problems) == (2, f"error: cannot write {page}: No such file or directory\n")
    code, _, problems = call([str(store)], monkeypatch, capsys)
    assert (code, "Missing argument 'CELL-OR-GROUP'." in problems) == (2, True)
