"""A run as lines of JSON, for whoever wants to follow it with other tools."""

from __future__ import annotations

import json
from typing import IO

from sftbench.api import CellFinished, CellProgress, CellStarted, Event, Job, Plan, Tracker


class Jsonl(Tracker):
    """Append one JSON object for each event to `events.jsonl` in the folder of the store."""

    name = "jsonl"
    summary = "one JSON line an event, in events.jsonl"
    _file: IO[str] | None = None

    def start(self, plan: Plan, job: Job) -> None:
        """Open the file and note the plan."""
        job.out.mkdir(parents=True, exist_ok=True)
        self._file = (job.out / "events.jsonl").open("a", encoding="utf-8")
        self._write({"event": "plan", "plan_id": plan.plan_id, "cells": len(plan.cells)})

    def event(self, event: Event) -> None:
        """Note an event."""
        if isinstance(event, CellStarted):
            cell = event.cell
            self._write({"event": "started", "cell_id": cell.cell_id, "cell": cell.title})
        elif isinstance(event, CellProgress):
            self._write(
                {
                    "event": "progress",
                    "cell_id": event.cell_id,
                    "stage": event.stage,
                    "done": event.done,
                    "total": event.total,
                }
            )
        elif isinstance(event, CellFinished):
            record = event.record
            primary = record.primary
            value = record.value(primary.name) if primary else None
            self._write(
                {
                    "event": "finished",
                    "cell_id": record.cell_id,
                    "status": record.status,
                    "metric": primary.name if primary else None,
                    "test": value,
                }
            )

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _write(self, values: dict[str, object]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(values) + "\n")
            self._file.flush()
