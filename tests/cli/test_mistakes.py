"""What a person gets wrong ends in one clear line and the right exit code, never a traceback."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sftbench.cli import main as command_line

RUN = ["run", "--device", "cpu", "--dry-run"]


def call(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Run the command line in this process and return exit code, standard output and error."""
    monkeypatch.setattr(sys, "argv", ["sftbench", *arguments])
    with pytest.raises(SystemExit) as ended:
        command_line()
    output = capsys.readouterr()
    return int(ended.value.code or 0), output.out, output.err


MISTAKES = [
    (["-s", "ful"], 2, "unknown strategy 'ful'; did you mean 'full'"),
    (["-b", "resnet5"], 2, "unknown backbone 'resnet5'; did you mean 'resnet"),
    (["-d", "digit"], 2, "unknown dataset 'digit'; did you mean 'digits'"),
    (["--variant", "longtale:5"], 2, "unknown variant 'longtale'; did you mean 'longtail'"),
    (["--variant", "longtail"], 2, "variant 'longtail' needs a parameter: longtail:RATIO"),
    (["--variant", "longtail:abc"], 2, "variant 'longtail:abc': ratio = 'abc'"),
    (["--variant", "longtail:0.5"], 2, "greater than or equal to 1"),
    (["--variant", "balanced:3"], 2, "variant 'balanced' takes no parameter"),
    (["-w", "pretraned"], 2, "unknown weights 'pretraned'; did you mean 'pretrained'"),
    (["--protocol", "articel"], 2, "unknown protocol 'articel'; did you mean 'article'?"),
    (["--optimizer", "adamv"], 2, "unknown optimizer 'adamv'; did you mean"),
    (["--optimizer", "zzz"], 2, "unknown optimizer 'zzz'; see timm.optim.list_optimizers()"),
    (["-d", "folder:/a\x1b[31mb"], 3, "error: /a\\x1b[31mb: no such folder"),
    (["-d", "digits\0"], 2, "an argument holds a null character"),
    (["--schedule", "triangle"], 2, "schedule = 'triangle'"),
    (["--precision", "fp8"], 2, "precision = 'fp8'"),
    (["--augment", "flop"], 2, "augment = 'flop'"),
    (["--erasing", "2"], 2, "erasing = 2.0"),
    (["--mixup", "-1"], 2, "mixup = -1.0"),
    (["-d", "simclr:digits", "--cutmix", "1"], 2, "cutmix mixes an image with another and their"),
    (["--ood", "digit"], 2, "unknown dataset 'digit'; did you mean 'digits'"),
    (["-d", "digits", "--ood", "digits"], 2, "ood 'digits' is the data set of the plan itself"),
    (["--forgetting"], 2, "forgetting needs the data that weights were trained on; add --weights"),
    (["-d", "simclr:digits", "--drift"], 2, "drift cannot be measured for task contrastive of"),
    (["--placement", "disk"], 2, "'disk' is not one of 'auto', 'device', 'stream'"),
    (["--precision", "tf32", "--device", "cpu"], 2, "TF32 is a format of CUDA GPUs"),
    (["--compile", "maybe"], 2, "'maybe' is not one of 'auto', 'on', 'off'"),
    (["--memory-format", "nhwc"], 2, "'nhwc' is not one of 'auto', 'channels-last', 'contiguous'"),
    (["--seeds", "x"], 2, "seeds 'x': write a count (7), a range (0-6) or a list (0,2,5)"),
    (["--seeds", "0-99999999999"], 2, "seeds '0-99999999999'"),
    (["--lr", "abc"], 2, "'abc'"),
    (["--lr", "heaad=1"], 2, "--lr: unknown rate 'heaad'; did you mean 'head'"),
    (["--set", "nonsense"], 2, "--set 'nonsense': write STRATEGY.KEY=VALUE"),
    (["--set", "lp-ft.hed_share=0.3"], 2, "has no option 'hed_share'; did you mean 'head_share'?"),
    (["-s", "full", "--set", "lp-ft.head_share=0.3"], 2, "which this plan does not run"),
    (["--epochs", "-1"], 2, "epochs"),
    (["--epochs", "nan"], 2, "epochs"),
    (["--batch-size", "0"], 2, "batch_size"),
    (["--image-size", "3"], 2, "8 to 4096"),
    (["-d", "folder:/nowhere"], 3, "/nowhere"),
    (["-d", "arrays:/nowhere"], 3, "/nowhere"),
    (["-d", "csv:/nowhere.csv"], 3, "/nowhere.csv: no such file; expected a file with the columns"),
    (["-d", "csv"], 2, "dataset 'csv' needs a parameter: csv:PATH"),
    (["-d", "hf:/nowhere/at/all"], 3, "hf:"),
    (["-d", "hf:x?labl=y"], 2, "unknown key 'labl'; did you mean 'label'?"),
    (["--baseline", "heads"], 2, "unknown strategy 'heads'"),
    (["--device", "cuda:99"], 2, "cuda:99"),
    (["--device", "cuda:²"], 2, "device 'cuda:²': use auto, cpu, cuda or cuda:N"),
    (["--device", "cuda:" + "9" * 5000], 2, "use auto, cpu, cuda or cuda:N"),
    (["--device", "tpu"], 2, "device 'tpu': use auto, cpu, cuda or cuda:N"),
    (["--jobs", "0"], 2, "--jobs"),
    (["--timeout", "0"], 2, "--timeout"),
    (["--executor", "locl"], 2, "unknown executor 'locl'; did you mean 'local'?"),
    (["--tracker", "jsonn"], 2, "unknown tracker 'jsonn'; did you mean 'jsonl'?"),
    (["/nowhere.toml"], 2, "plan /nowhere.toml: No such file or directory"),
    (["--out", "/dev/null"], 2, "/dev/null"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), MISTAKES, ids=lambda x: str(x)[:40])
def test_a_mistake_is_one_line_and_an_exit_code(
    arguments: list[str],
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    found, out, err = call([*RUN, *arguments], monkeypatch, capsys)
    assert found == code, err
    assert out == ""
    assert words in err
    assert "Traceback" not in err
    assert err.startswith(("error: ", "Usage: "))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("strategy = [", "plan.toml:1: not TOML"),
        ("stratgy = 'full'", "has no option 'stratgy'; did you mean 'strategy'?"),
        (
            "strategy = 'full'\n[changes]\nepoch = 3",
            "has no option 'epoch'; did you mean 'epochs'?",
        ),
        ("strategy = []", "at least one is needed"),
        ("seeds = [-1]", "seeds count from 0"),
        ("a" * 2_000_000, "larger than 1 MiB"),
    ],
    ids=lambda x: str(x)[:20],
)
def test_a_wrong_plan_file_is_named(
    text: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(text)
    code, _, err = call([*RUN, str(plan)], monkeypatch, capsys)
    assert code == 2
    assert words in err
    assert len(err.splitlines()) == 1


def test_reports_of_nothing_and_unknown_things(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for arguments, code, words in [
        (["report", str(tmp_path / "none")], 2, "no plan in"),
        (["show", "strategy", "ful"], 2, "did you mean 'full'"),
        (["show", "protocol", "x"], 2, "unknown protocol 'x'"),
        (["list", "things"], 2, "things"),
        (["plugins", "check", "nothing"], 2, "nothing"),
        (["plugins", "new", "../up"], 2, "../up"),
        (["frobnicate"], 2, "frobnicate"),
    ]:
        found, _, err = call(arguments, monkeypatch, capsys)
        assert (found, words in err) == (code, True), (arguments, err)
        assert "Traceback" not in err


WORDS = st.sampled_from(
    ["run", "plan", "list", "show", "report", "-s", "-d", "--seeds", "--set", "--lr", "full", "7",
     "digits", "longtail:9", "0-3", "--json", "--device", "cpu", "a=b", "strategy", "strategies"]
)  # fmt: skip


@given(st.lists(st.one_of(WORDS, st.text(max_size=12)), max_size=6))
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_nothing_a_person_types_gives_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    # `run` would train for minutes; the dry run takes the same way up to there.
    arguments = [*words, "--dry-run"] if words[:1] == ["run"] else words
    code, _, err = call(arguments, monkeypatch, capsys)
    assert code in (0, 2, 3)
    assert "Traceback" not in err
    assert "internal error" not in err
