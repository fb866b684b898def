"""One contestant's process: reads requests as lines of JSON, answers each with one line.

One process for each: allocators, thread pools and settings of one library never meet those of
another, and all are warm alike.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from benchmarks.peers.contestants import CONTESTANTS
from benchmarks.peers.work import Outcome, Work


def main(name: str) -> None:
    """Answer until there is nothing more to read."""
    # Libraries print; the answers have a line of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = _Worker(name)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"ok": getattr(worker, request["do"])(*request["with"])}
        except Exception as error:  # noqa: BLE001 - any end of a contestant is a line of the table
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


class _Worker:
    def __init__(self, name: str) -> None:
        self._module_name, self._needs = CONTESTANTS[name]
        self._prepared: dict[Work, Callable[[], Outcome]] = {}

    def load(self) -> str | None:
        """Import what is needed; return why it cannot be, or None."""
        try:
            if self._needs:
                importlib.import_module(self._needs)
            importlib.import_module(f"{__package__}.contestants.{self._module_name}")
        except ImportError as error:
            return f"{error}; pip install -e '.[peers]'"
        return None

    def run(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Train; what is prepared stays prepared for the next round."""
        work = read_work(fields)
        if work not in self._prepared:
            module = importlib.import_module(f"{__package__}.contestants.{self._module_name}")
            self._prepared = {work: module.prepare(work)}
        outcome = self._prepared[work]()
        problem = outcome.problem(work)
        if problem:
            raise RuntimeError(f"the work was not done: {problem}")
        return asdict(outcome)

    def backbone_passes(self, many: list[dict[str, Any]]) -> list[int]:
        """Count images that entered the backbone (sftbench alone)."""
        from benchmarks.peers.contestants import engine

        return engine.backbone_passes([read_work(fields) for fields in many])

    def write_start(self, fields: dict[str, Any]) -> None:
        """Keep the starting weights (sftbench alone)."""
        from benchmarks.peers.starting import write_start

        write_start(read_work(fields))


def read_work(fields: dict[str, Any]) -> Work:
    """Return a work from what JSON made of it."""
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()}
    return Work(**values)


if __name__ == "__main__":
    main(sys.argv[1])
