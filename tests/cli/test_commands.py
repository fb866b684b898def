"""The commands on real runs: streams, exit codes, what is run again, and what needs no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.records import make_cell, make_outputs, make_record

from sftbench.plan import Plan
from sftbench.store import Store

ROOT = Path(__file__).parent.parent.parent
PLUGIN = """
from sftbench.api import Stage, Strategy, hookimpl
from sftbench.testing import TinyBackbone, TinyImages

class Raises(Strategy):
    name = "raises"
    summary = "fails at once"
    def stages(self, ctx):
        raise ValueError("no stages today")

class Picky(Strategy):
    name = "picky"
    summary = "supports nothing"
    def supports(self, task, backbone, dataset):
        return "it is never in the mood"
    def stages(self, ctx):
        return [Stage(name="train")]

@hookimpl
def sftbench_backbones():
    return [TinyBackbone]

@hookimpl
def sftbench_datasets():
    return [TinyImages]

@hookimpl
def sftbench_strategies():
    return [Raises, Picky]
"""
TINY = ["-b", "tiny-convnet", "-d", "tiny-images", "--device", "cpu",
        "--epochs", "1", "--batch-size", "16"]  # fmt: skip
INLINE = ["--executor", "inline"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a plugin of tiny components, as an installed distribution."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "tiny_plugin.py").write_text(PLUGIN)
    info = folder / "tiny_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sftbench]\ntiny = tiny_plugin\n")
    return folder


def call(place: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    paths = [str(place), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, "-m", "sftbench", *arguments],
        cwd=place,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_run_twice_runs_nothing_and_prints_the_same_table(place: Path) -> None:
    options = [*TINY, "-s", "full", "-s", "head-only", "--seeds", "2", "--out", "twice"]
    first = call(place, "run", *INLINE, *options, "--tracker", "jsonl")
    assert first.returncode == 0, first.stderr
    assert "running 4 cells; 0 have a record already" in first.stderr
    assert "tiny-convnet · pretrained · tiny-images / balanced" in first.stdout
    assert "\x1b" not in first.stdout + first.stderr
    assert max(len(line) for line in first.stdout.splitlines()) <= 100
    events = [
        json.loads(line) for line in (place / "twice" / "events.jsonl").read_text().splitlines()
    ]
    assert [event["event"] for event in events].count("finished") == 4

    again = call(place, "run", *INLINE, *options)
    assert again.returncode == 0
    assert again.stderr == ""
    assert again.stdout == first.stdout
    # In another order and grown: only what is new runs.
    grown = [*TINY, "-s", "head-only", "-s", "full", "--seeds", "1-2", "--out", "twice"]
    planned = call(place, "plan", *grown, "--json")
    document = json.loads(planned.stdout)
    assert (document["due"], len(document["cells"])) == (2, 4)
    assert {cell["seed"] for cell in document["cells"] if cell["due"]} == {2}


def test_failed_and_skipped_cells_stand_in_the_table_and_fail_the_run(place: Path) -> None:
    options = [*TINY, "-s", "head-only", "-s", "raises", "-s", "picky", "--seeds", "1"]
    done = call(place, "run", *INLINE, *options, "--out", "failed")
    assert done.returncode == 1
    assert "tiny-convnet raises on tiny-images/balanced seed 0: failed: ValueError" in done.stderr
    assert "CRASHED" in done.stdout
    assert "it is never in the mood" in done.stdout
    retried = call(place, "plan", *options, "--out", "failed", "--retry-failed", "--json")
    assert json.loads(retried.stdout)["due"] == 1


def test_a_run_whose_cells_are_skipped_for_a_reason_is_no_failure(place: Path) -> None:
    done = call(place, "run", *INLINE, *TINY, "-s", "picky", "--seeds", "1", "--out", "skipped")
    assert done.returncode == 0, done.stderr
    assert "it is never in the mood" in done.stdout


def test_reports_come_in_every_format_and_need_no_torch(place: Path) -> None:
    made = call(place, "run", *INLINE, *TINY, "-s", "full", "--seeds", "2", "--out", "formats")
    assert made.returncode == 0, made.stderr
    block = "import sys; sys.modules['torch'] = None; sys.argv = ['sftbench', {}]; "
    block += "from sftbench.cli import main; main()"
    outputs = {}
    for form in ("table", "markdown", "latex", "csv", "json"):
        arguments = f"'report', 'formats', '--format', '{form}'"
        done = subprocess.run(
            [sys.executable, "-c", block.format(arguments)],
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(ROOT), "SFTBENCH_PLUGINS": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        outputs[form] = done.stdout
    row = json.loads(outputs["json"])[0]
    assert row["strategy"] == "full"
    assert outputs["csv"].splitlines()[1].startswith("tiny-convnet,pretrained,tiny-images")
    assert f"{row['mean']:.3f}"[1:] in outputs["table"]
    assert "**" in outputs["markdown"]
    assert r"\toprule" in outputs["latex"]


@pytest.fixture(scope="module")
def kept(place: Path) -> str:
    """A store of two data sets, of which one lacks the strategy full."""
    store = Store(place / "kept")
    cells = [make_cell(strategy=name) for name in ("head-only", "full")]
    cells.append(make_cell(strategy="head-only", dataset="other"))
    store.add_plan(Plan(cells=tuple(cells), baseline="absent"))
    for one in cells:
        store.write(make_record(one), make_outputs())
    return str(store.path)


def test_a_baseline_that_no_record_has_is_refused(place: Path, kept: str) -> None:
    for wrong, hint in (("ful", "did you mean 'full'? "), ("", "")):
        done = call(place, "report", kept, "--baseline", wrong, SFTBENCH_PLUGINS="")
        assert (done.returncode, done.stdout) == (2, "")
        line = f"error: unknown baseline '{wrong}'; {hint}there are: full, head-only\n"
        assert done.stderr == line
    # One that a section lacks is none of these, and a plan may name one that it has not.
    for options in (["--baseline", "full"], []):
        done = call(place, "report", kept, *options, SFTBENCH_PLUGINS="")
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["plugins", "list"], ["list", "strategies"], ["list", "backbones", "--json"],
     ["list", "datasets"], ["list", "metrics"], ["show", "protocol", "article"]],
)  # fmt: skip
def test_listing_needs_no_torch(arguments: list[str]) -> None:
    code = "import sys; sys.modules['torch'] = None; sys.modules['timm'] = None; "
    code += f"sys.argv = ['sftbench', *{arguments!r}]; from sftbench.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SFTBENCH_PLUGINS": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_completion_gives_names(place: Path) -> None:
    done = call(
        place,
        SFTBENCH_PLUGINS="",
        _SFTBENCH_COMPLETE="bash_complete",
        COMP_WORDS="sftbench run --strategy he",
        COMP_CWORD="3",
    )
    assert "head-only" in done.stdout


def test_every_list_can_be_json(place: Path) -> None:
    for arguments in (
        ["list", "tasks"],
        ["plugins", "list"],
        ["show", "strategy", "full"],
    ):
        done = call(place, *arguments, "--json", SFTBENCH_PLUGINS="")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)


def test_python_does_the_same(place: Path) -> None:
    code = """
import sftbench
results = sftbench.run(backbone="tiny-convnet", dataset="tiny-images", strategy=["full"],
                       seeds=[0], changes={"epochs": 1}, device="cpu", out="python")
print(len(results.records), results.rows()[0]["strategy"], len(results.to_pandas()))
print(results.problems)
"""
    paths = os.pathsep.join([str(place), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "1 full 1\n()\n", done.stderr


def test_the_live_table_on_a_terminal(place: Path) -> None:
    pty = pytest.importorskip("pty", reason="no pseudo-terminals on this system")
    master, slave = pty.openpty()
    command = ["run", *INLINE, *TINY, "-s", "full", "--seeds", "1", "--out", "live"]
    paths = os.pathsep.join([str(place), str(ROOT)])
    process = subprocess.Popen(
        [sys.executable, "-m", "sftbench", *command],
        cwd=place,
        env={**os.environ, "PYTHONPATH": paths, "COLUMNS": "100", "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=slave,
        text=True,
    )
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 4096):
            shown += chunk
    except OSError:
        pass  # the other end is closed
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"test so far" in shown
    assert b"1/1" in shown
    assert "tiny-convnet" in out
