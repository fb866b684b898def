"""The contestants' processes, started when they are needed and asked one at a time."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.peers.contestants import CONTESTANTS
from benchmarks.peers.elsewhere import Elsewhere
from benchmarks.peers.work import Outcome, Work

ROOT = Path(__file__).parent.parent.parent


class ContestantError(Exception):
    """Why a contestant did not do its work, in one line."""


class Team:
    """One process for each contestant. Two never compute at the same time.

    Args:
        scratch: Folder for the cache of the run and for what the processes print.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self.missing: dict[str, str] = {}

    def run(self, name: str, work: Work) -> Outcome:
        """Let a contestant train.

        Raises:
            ContestantError: It is not installed, or failed.
        """
        self._started(name)
        elsewhere = Elsewhere(self._processes[name].pid)
        answer = self._exchange(name, "run", (asdict(work),))
        answer["notes"]["busy_elsewhere"] = elsewhere.cores()
        return Outcome(**answer)

    def ask(self, name: str, do: str, *arguments: Any) -> Any:
        """Send one request and return the answer.

        Raises:
            ContestantError: It is not installed, or failed.
        """
        self._started(name)
        return self._exchange(name, do, arguments)

    def close(self, keep: Collection[str] = ()) -> None:
        """End the processes, and so give back their memory, but for those to keep."""
        ended = {name: self._processes.pop(name) for name in [*self._processes] if name not in keep}
        for process in ended.values():
            if process.stdin:
                with contextlib.suppress(BrokenPipeError):  # it is dead, and a request unread
                    process.stdin.close()
        for process in ended.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()

    def _started(self, name: str) -> None:
        """See to it that a contestant's process is there and has imported what it needs."""
        if name not in self._processes:
            self._processes[name] = self._start(name)
            reason = self._exchange(name, "load", ())
            if reason:
                self.missing[name] = reason
        if name in self.missing:
            raise ContestantError(self.missing[name])

    def _start(self, name: str) -> subprocess.Popen[str]:
        if name not in CONTESTANTS:
            raise ContestantError(f"no contestant {name!r}; there are {', '.join(CONTESTANTS)}")
        environment = {
            **os.environ,
            "SFTBENCH_CACHE": str(self._scratch / "cache"),
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.getenv("PYTHONPATH")])),
        }
        (self._scratch / "cache").mkdir(exist_ok=True)
        with (self._scratch / f"{name}.log").open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "benchmarks.peers.worker", name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                cwd=ROOT,
            )

    def _exchange(self, name: str, do: str, arguments: tuple[Any, ...]) -> Any:
        process = self._processes[name]
        if process.stdin is None or process.stdout is None:
            raise ContestantError(f"{name} has no pipes")
        try:
            process.stdin.write(json.dumps({"do": do, "with": arguments}) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise ContestantError(f"its process ended with code {process.wait(30)}") from None
        line = process.stdout.readline()
        if not line:
            raise ContestantError(f"its process ended with code {process.wait(30)}")
        answer = json.loads(line)
        if "error" in answer:
            raise ContestantError(answer["error"])
        return answer["ok"]


@contextmanager
def team(scratch: Path) -> Iterator[Team]:
    """Give a team whose processes end with the block."""
    made = Team(scratch)
    try:
        yield made
    finally:
        made.close()
