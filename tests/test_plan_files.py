"""Every mistake in a plan file is told with its file and line, and nothing in it does harm."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftbench.cli import main as command_line
from sftbench.errors import RequestError
from sftbench.plan_files import read_plan_file

GOOD = 'strategy = ["head-only", "lp-ft"]\nseeds = 2\n'


def ended(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """Return what a mistaken `sftbench plan` says after `error: `, its one line."""
    monkeypatch.setattr(sys, "argv", ["sftbench", "plan", "--device", "cpu", *arguments])
    with pytest.raises(SystemExit) as end:
        command_line()
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert end.value.code in {2, 3}
    assert err.startswith("error: ")
    return err.removeprefix("error: ").rstrip("\n")


MISTAKES = [
    ("a = 1\nstrategy = [", "p.toml:2: not TOML: Invalid value"),
    ("a = 1\na = 2\n", "p.toml:2: not TOML, column 6: Cannot overwrite a value"),
    ("\nstratgy = 'full'", "p.toml:2: plan has no option 'stratgy'; did you mean 'strategy'?"),
    ("\n\nepochs = 3", "p.toml:3: 'epochs' is the protocol's; write it below [changes]"),
    ("strategy = []", "p.toml:1: plan: strategy = []: at least one is needed"),
    ("strategy = [\n'full',\n3]", "p.toml:3: plan: strategy.1 = 3: input should be a valid string"),
    (
        "strategy = [\n'full',\n'full',\n'ful']",
        "p.toml:4: unknown strategy 'ful'; did you mean 'full'",
    ),
    ("\nbackbone = 'resnet5'", "p.toml:2: unknown backbone 'resnet5'; did you mean 'resnet"),
    ("\ndataset = 'digit'", "p.toml:2: unknown dataset 'digit'; did you mean 'digits' or 'dtd'?"),
    ("\ndataset = 'folder:/nowhere'", "p.toml:2: /nowhere: no such folder"),
    (
        "variant = [ 'balanced',\n'longtail:x' ]",
        "p.toml:2: variant 'longtail:x': ratio = 'x': input should be a valid number",
    ),
    ("\nweights = 'non'", "p.toml:2: unknown weights 'non'; did you mean 'none'?"),
    ("\nbaseline = 'lp-fd'", "p.toml:2: unknown strategy 'lp-fd'; did you mean 'lp-ft'?"),
    ("\nprotocol = 'articel'", "p.toml:2: unknown protocol 'articel'; did you mean 'article'?"),
    ("\nseeds = '0-x'", "p.toml:2: seeds '0-x': write a count (7)"),
    ("seeds = [\n'x',\n0]", "p.toml:2: plan: seeds.0 = 'x': input should be a valid integer"),
    ("seeds = [\n0,\n-1]", "p.toml:1: plan: seeds = [0, -1]: seeds count from 0"),
    (
        "[changes]\n\nepoch = 3",
        "p.toml:3: protocol 'default' has no option 'epoch'; did you mean 'epochs'?",
    ),
    ("[changes]\nepochs = 1\nbatch_size = 1", "p.toml:3: protocol 'default': batch_size = 1: "),
    ("[changes]\nbatch_size = 'many'", "p.toml:2: protocol 'default': batch_size = 'many': "),
    ("[changes]\nvalidation_fraction = 0", "p.toml:1: protocol 'default': selection by "),
    ("[changes]\nrates = { head = 1,\theads = 2 }", "p.toml:2: protocol 'default' has no option"),
    ("[changes]\noptimizer = 'adamv'", "p.toml:2: unknown optimizer 'adamv'; did you mean"),
    ("changes = 3", "p.toml:1: plan: changes = 3: input should be a valid dictionary"),
    (
        GOOD + '[settings."lp-ft"]\nhed_share = 1',
        "p.toml:4: strategy 'lp-ft' has no option 'hed_share'; did you mean 'head_share'?",
    ),
    (GOOD + "[settings.lp-ft]\nhead_share = 7", "p.toml:4: strategy 'lp-ft': head_share = 7: "),
    (GOOD + "[settings]\nfull.a = 1", "p.toml:4: option of strategy 'full', which this plan does"),
    ("[criteria]\nmargin = 0\nalpa = 1", "p.toml:3: criteria has no option 'alpa'; did you mean"),
    ("[criteria]\nmargin = 0\nalpha = 1", "p.toml:3: criteria: alpha = 1.0: input should be less"),
    ("[criteria]\nalpha = 'x'", "p.toml:2: plan: criteria.alpha = 'x': input should be a valid n"),
    ("seeds = 1\nname = 'caf\xe9'".encode("latin-1"), "p.toml:2: is not UTF-8 text"),
    ("x = 1\n" + "a." * 99 + "a = 1", "p.toml:2: nested too deeply"),
    ("x = 1\ny = " + "9" * 5_000, "p.toml:2: a number of more than 1,000 characters"),
    ("seeds = 1\n" + "a" * 2_000_000, "plan p.toml: larger than 1 MiB"),
]


@pytest.mark.parametrize(("text", "words"), MISTAKES, ids=lambda x: repr(x)[:40])
def test_a_mistake_is_told_with_file_and_line(
    text: str | bytes,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.toml").write_bytes(text.encode() if isinstance(text, str) else text)
    assert ended(["p.toml"], monkeypatch, capsys).startswith(words)


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("strategy = 'full'", ["-s", "ful"], "unknown strategy 'ful'"),
        (GOOD + "[changes]\nepochs = 1", ["--epochs", "-1"], "protocol 'default': epochs = -1.0"),
        (GOOD + "[changes.rates]\nhead = 1", ["--lr", "x"], "protocol 'default': rates.head_alo"),
        (GOOD + "[settings.lp-ft]\nhead_share = 0.5", ["--set", "lp-ft.head_share=7"], "strategy"),
        (GOOD, ["--set", "lp-ft.head_share=7"], "strategy 'lp-ft': head_share = '7': "),
        (GOOD, ["--baseline", "heads"], "unknown strategy 'heads'"),
    ],
)
def test_a_mistake_of_the_command_line_is_not_the_files(
    text: str,
    options: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.toml").write_text(text)
    assert ended(["p.toml", *options], monkeypatch, capsys).startswith(words)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    for path, words in [
        (tmp_path / "none.toml", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (Path("a\0b"), "embedded null byte"),
        (tmp_path / ("n" * 300), "File name too long"),
    ]:
        with pytest.raises(RequestError, match=words) as told:
            read_plan_file(path)
        assert str(told.value).startswith("plan ")
        assert "\0" not in str(told.value)


def test_a_name_that_would_write_on_the_terminal_is_made_plain(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\nb.toml"
    path.write_text("x = 1")
    with pytest.raises(RequestError) as told:
        read_plan_file(path)
    assert str(told.value).startswith(f"{tmp_path}/a\\x1b[31m b.toml:1: plan has no option 'x'")


def test_a_mark_of_byte_order_and_other_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "windows.toml"
    path.write_bytes(b"\xef\xbb\xbfstrategy = 'full'\r\n\r\nseeds = 3\r\n")
    found = read_plan_file(path)
    assert found.values == {"strategy": "full", "seeds": 3}
    assert found.lines == {("strategy",): 1, ("seeds",): 3}


PIECES = st.sampled_from(
    ["strategy", "seeds", "changes", "settings", "epochs", "criteria", "lp-ft", "[", "]", "[[",
     "]]", "{", "}", "=", ",", ".", "\n", " ", '"', "'", '"""', "#", "\\", "1e999", "nan", "-1",
     "true", "full", "\0", "\u202e", "1979-05-27", "[changes]\n", "seeds = 1\n", "9" * 17]
)  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any") / "p.toml"


@given(text=st.one_of(st.lists(PIECES, max_size=16).map("".join), st.text(max_size=40)))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_plan_or_a_mistake(file: Path, text: str) -> None:
    file.write_bytes(text.encode())
    told = ""
    try:
        read_plan_file(file)
    except RequestError as error:
        told = str(error)
    assert not told or told.startswith((f"{file}:", f"plan {file}: "))
    assert told.isprintable()


def test_a_pipe_is_no_plan(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.toml")
    with pytest.raises(RequestError, match=r"p\.toml: not a regular file"):
        read_plan_file(tmp_path / "p.toml")
