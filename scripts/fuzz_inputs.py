"""Give sftbench hostile and broken inputs, and see that each ends as a person's mistake should.

    python scripts/fuzz_inputs.py --cases 100000 --seed 0
    python scripts/fuzz_inputs.py --seed 0 --only 4711        # one case again, with what it printed

For every case: no traceback and no `internal error`; exit code 0, 2 or 3; a mistake in one line;
nothing that a terminal would obey; no file written but where the person said; under ten seconds.
Commands run in this process, through the same path as `sftbench` itself, and train nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import io
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fuzz_cases import MAKERS, records
from fuzz_words import Case

from sftbench.cli.main import _explain, _run

MOST_SECONDS = 10.0
CODES = {0, 2, 3}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING = {"os.mkdir", "os.rmdir", "os.remove", "os.rename", "os.link", "os.symlink", "os.chmod",
             "os.truncate", "os.chown", "os.utime", "shutil.rmtree", "shutil.move"}  # fmt: skip


@dataclass
class Watch:
    """What was written or changed while a case ran, by Python's audit events."""

    on: bool = False
    allowed: tuple[Path, ...] = ()
    found: list[str] = field(default_factory=list)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note an event that is a write outside of what is allowed."""
        if not self.on:
            return
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & _WRITING:
                return
        elif event in _CHANGING:
            path = arguments[0]
        else:
            return
        if isinstance(path, str | bytes | os.PathLike):
            place = Path(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 - links stay as they are
            if place == Path(os.devnull) or any(place.is_relative_to(a) for a in self.allowed):
                return
            self.found.append(f"{event} {place}")


@dataclass(frozen=True)
class Outcome:
    """What a case did wrong, what it printed, and its exit code; None where it raised."""

    wrong: list[str]
    printed: str
    code: int | None


class TooLongError(BaseException):
    """A case did not end in time; no `except Exception` holds it."""


WATCH = Watch()
_hooked = False


def run_case(case: Case, box: Path) -> Outcome:
    """Run a case in its folder and watch it."""
    global _hooked  # noqa: PLW0603 - a hook cannot be taken away again
    if not _hooked:
        sys.addaudithook(WATCH.hear)
        signal.signal(signal.SIGALRM, _late)
        _hooked = True
    before = snapshot(box)
    allowed = (box / "cwd" / "out", box / "cwd" / "sftbench-results", *case.writes)
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    wrong: list[str] = []
    code: int | None = None
    started = time.monotonic()
    with _surroundings(case, box), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        WATCH.on, WATCH.allowed, WATCH.found = True, allowed, []
        signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
        faulthandler.dump_traceback_later(6 * MOST_SECONDS, exit=True, file=sys.__stderr__)
        try:
            code = _ended(case)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the finding
            wrong.append(f"raised {type(error).__name__}: {error}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            faulthandler.cancel_dump_traceback_later()
            WATCH.on = False
    seconds = time.monotonic() - started
    told, said = _text(out), _text(err)
    wrong += [f"wrote: {one}" for one in WATCH.found]
    after = snapshot(box)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    wrong += [f"changed: {path}" for path in sorted(changed) if not _is_within(path, allowed)]
    if code is not None and code not in CODES:
        wrong.append(f"exit code {code}")
    if seconds > MOST_SECONDS:
        wrong.append(f"took {seconds:.1f} s")
    wrong += _wrong_words(told, said, code)
    return Outcome(wrong, told + said, code)


def _ended(case: Case) -> int:
    """Run a command, or a call, and return the exit code that a person would get."""
    if case.call is None:
        return _run()
    try:
        case.call()
    except Exception as error:  # noqa: BLE001 - as the command line does
        message, code = _explain(error)
        print(message, file=sys.stderr)
        return code
    return 0


def _wrong_words(told: str, said: str, code: int | None) -> list[str]:
    words = ("Traceback (most recent", "internal error")
    wrong = [word for word in words if word in told + said]
    lines = said.splitlines()
    mistakes = [line for line in lines if line.startswith("error: ")]
    if code in {2, 3} and not lines:
        wrong.append("a mistake without a word")
    if mistakes and lines[-1] != mistakes[-1]:
        wrong.append("a mistake of more than one line")
    # click shows a wrong option as it was typed; that is the person's own text.
    if not said.startswith("Usage: "):
        odd = {char for char in told + said if not char.isprintable()} - {"\n", "\t"}
        wrong += [f"printed {char!r}" for char in sorted(odd)]
    return wrong


@contextlib.contextmanager
def _surroundings(case: Case, box: Path) -> Iterator[None]:
    """Give the case its arguments, environment and folder, and put everything back."""
    argv, environment, folder = sys.argv, dict(os.environ), Path.cwd()
    sys.argv = ["sftbench", *case.arguments]
    home = {"HOME": str(box / "cwd"), "SFTBENCH_CACHE": str(box / "cwd" / "cache")}
    os.environ.pop("SFTBENCH_DEBUG", None)
    os.environ.update({**home, **case.environment})
    os.chdir(box / "cwd")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.chdir(folder)
        sys.argv = argv
        os.environ.clear()
        os.environ.update(environment)


def snapshot(box: Path) -> dict[Path, tuple[int, ...]]:
    """Return what lies in a folder: mode, size and time of the last change by path."""
    found = {}
    for parent, folders, names in os.walk(box):
        for name in [*folders, *names]:
            path = Path(parent) / name
            state = path.lstat()
            size = 0 if path.is_dir() and not path.is_symlink() else state.st_size
            found[path] = (state.st_mode, size, state.st_mtime_ns if size else 0)
    return found


def make_case(seed: int, number: int, box: Path) -> tuple[str, Case]:
    """Make case `number` of a seed in an empty folder; return its maker's name too."""
    rng = random.Random(f"{seed}-{number}")
    (box / "cwd").mkdir()
    maker = rng.choices(list(MAKERS), weights=list(MAKERS.values()))[0]
    return maker.__name__, maker(rng, box)


def warm_up() -> None:
    """Import what commands import, so that no case pays for it."""
    box = Path(tempfile.mkdtemp(prefix="sftbench-fuzz-"))
    (box / "cwd").mkdir()
    for words in (["plan", "-b", "resnet18"], ["list", "backbones", "--search", "torchvision/r"]):
        run_case(Case(words), box)
    run_case(records(random.Random(0), box), box)
    shutil.rmtree(box)


def main() -> int:
    """Run the cases; return 1 where one did something wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="one case again")
    parser.add_argument("--most", type=int, default=20, help="findings to print")
    asked = parser.parse_args()
    sys.dont_write_bytecode = True
    os.environ["HF_HUB_OFFLINE"] = "1"
    warm_up()
    gc.freeze()  # there is much that stays, and no reason to look through it again
    only = asked.only is not None
    numbers = [asked.only] if only else range(asked.cases)
    counts: Counter[str] = Counter()
    took: Counter[str] = Counter()
    codes: Counter[int | None] = Counter()
    failed, slowest, started = 0, (0.0, -1), time.monotonic()
    for number in numbers:
        box = Path(tempfile.mkdtemp(prefix="sftbench-fuzz-"))
        try:
            kind, case = make_case(asked.seed, number, box)
            counts[kind] += 1
            begun = time.monotonic()
            outcome = run_case(case, box)
            codes[outcome.code] += 1
            took[kind] += time.monotonic() - begun
            slowest = max(slowest, (time.monotonic() - begun, number))
        finally:
            shutil.rmtree(box, ignore_errors=True)
        if outcome.wrong or only:
            failed += bool(outcome.wrong)
            if failed <= asked.most:
                print(f"case {number} ({kind}): {case.arguments!r:.300} {case.environment}")
                print("  " + "; ".join(outcome.wrong)[:500])
                print("  " + ascii(outcome.printed[-2000 if only else -300 :]), flush=True)
    seconds = time.monotonic() - started
    gc.unfreeze()
    print(
        f"{sum(counts.values()):,} cases, seed {asked.seed}: {failed} went wrong; {seconds:.0f} s"
    )
    print(f"slowest: case {slowest[1]}, {slowest[0]:.2f} s")
    print(
        ", ".join(
            f"{kind} {count:,} in {took[kind]:.0f} s" for kind, count in sorted(counts.items())
        )
    )
    print("exit codes: " + ", ".join(f"{code}: {codes[code]:,}" for code in sorted(codes, key=str)))
    return 1 if failed else 0


def _late(*_: object) -> None:
    raise TooLongError(f"over {MOST_SECONDS:g} s")


def _text(stream: io.TextIOWrapper) -> str:
    with contextlib.suppress(UnicodeEncodeError):
        stream.flush()
    raw = stream.buffer
    assert isinstance(raw, io.BytesIO)
    return raw.getvalue().decode(errors="backslashreplace")


def _is_within(path: Path, allowed: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(place) for place in allowed)


if __name__ == "__main__":
    sys.exit(main())
