"""A slice of the fuzz run, and that it would see what it looks for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sftbench.errors import RequestError

SCRIPTS = Path(__file__).parent.parent.parent / "scripts"


@pytest.fixture(scope="module")
def fuzz() -> Iterator[ModuleType]:
    sys.path.insert(0, str(SCRIPTS))
    try:
        import fuzz_inputs

        fuzz_inputs.warm_up()
        yield fuzz_inputs
    finally:
        sys.path.remove(str(SCRIPTS))


def test_a_slice_of_the_cases(fuzz: ModuleType, tmp_path: Path) -> None:
    wrong, codes = [], set()
    for number in range(250):
        box = tmp_path / str(number)
        box.mkdir()
        kind, case = fuzz.make_case(7, number, box)
        outcome = fuzz.run_case(case, box)
        codes.add(outcome.code)
        wrong += [(number, kind, outcome)] if outcome.wrong else []
    assert wrong == []
    assert codes == {0, 2, 3}


def raises(_: Path) -> None:
    raise ValueError("a bug")


def writes(folder: Path) -> None:
    (folder / "cwd" / "x").write_text("x")


def makes_a_folder(folder: Path) -> None:
    (folder / "elsewhere").mkdir()


def changes(folder: Path) -> None:
    (folder / "input").write_text("changed")


def removes(folder: Path) -> None:
    (folder / "input").unlink()


def obeys(_: Path) -> None:
    sys.stdout.write("\x1b[31mred")


def writes_below_out(folder: Path) -> None:
    (folder / "cwd" / "out").mkdir()
    (folder / "cwd" / "out" / "x").write_text("x")


def mistakes(_: Path) -> None:
    raise RequestError("what a person did wrong")


def exits(_: Path) -> None:
    raise SystemExit(5)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (raises, ["internal error", "exit code 1"]),
        (writes, ["wrote: open", "changed: "]),
        (makes_a_folder, ["wrote: os.mkdir", "changed: "]),
        (changes, ["wrote: open", "changed: "]),
        (removes, ["wrote: os.remove", "changed: "]),
        (obeys, ["printed '\\x1b'"]),
        (exits, ["raised SystemExit: 5"]),
        (writes_below_out, []),
        (mistakes, []),
    ],
)
def test_what_goes_wrong_is_seen(
    fuzz: ModuleType, tmp_path: Path, act: Callable[[Path], Any], words: list[str]
) -> None:
    (tmp_path / "cwd").mkdir()
    (tmp_path / "input").write_text("as it was")
    outcome = fuzz.run_case(fuzz.Case([], call=lambda: act(tmp_path)), tmp_path)
    assert [word for word in words if word not in "\n".join(outcome.wrong)] == []
    assert bool(outcome.wrong) == bool(words)


def test_what_takes_too_long_is_seen(
    fuzz: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz, "MOST_SECONDS", 0.2)
    (tmp_path / "cwd").mkdir()

    def hangs() -> None:
        while True:
            pass

    outcome = fuzz.run_case(fuzz.Case([], call=hangs), tmp_path)
    assert outcome.wrong[0].startswith("raised TooLongError")
