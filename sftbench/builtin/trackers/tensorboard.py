"""Records as TensorBoard shows them: curves by step, results, settings."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sftbench.api import CellFinished, Event, Job, Plan, Record, Tracker, UnavailableError
from sftbench.names import one_line

_INSTALL: Final = "pip install 'sftbench[tensorboard]'"
_FOLDER: Final = "tensorboard"
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._=+-]")
_MOST_CHARACTERS: Final = 2000
Scalar = tuple[str, float, int, float]


class TensorBoard(Tracker):
    """Write event files below `tensorboard/` in the folder of the store, a folder for each attempt.

    A cell's curves are its record's history, so they appear when it ends. Scalars: `loss/train`,
    `loss/val`, `val/METRIC` and `rate` by step, and every number of the record as `SPLIT/METRIC`
    (selected weights) at the last step. The request stands in the tab of hyperparameters, and what
    a failed cell said as text.
    """

    name = "tensorboard"
    summary = "curves and results as event files, in tensorboard/"
    _folder: Path | None = None

    def bind(self, create: object) -> None:
        """Look for the package before anything runs.

        Raises:
            UnavailableError: It is not installed.
        """
        try:
            importlib.import_module("tensorboard.summary.writer.event_file_writer")
        except ModuleNotFoundError:
            raise UnavailableError(f"tracker 'tensorboard' needs tensorboard: {_INSTALL}") from None

    def start(self, plan: Plan, job: Job) -> None:
        """Remember where the files go."""
        self._folder = job.out / _FOLDER

    def event(self, event: Event) -> None:
        """Write a record that has come."""
        if self._folder is not None and isinstance(event, CellFinished):
            _write(event.record, self._folder / run_name(event.record))


def run_name(record: Record) -> Path:
    """Return the folder of an attempt, in the order in which people look for it.

    Names of components become plain names of folders: `longtail:50` is `longtail_50`.
    """
    cell = record.cell
    data = f"{_plain(cell.dataset)}-{_plain(cell.variant)}"
    group = f"{_plain(cell.backbone)}-{_plain(cell.strategy)}"
    return Path(data) / group / f"seed-{cell.seed}-{record.cell_id}" / f"attempt-{record.attempt}"


def scalars(record: Record) -> Iterator[Scalar]:
    """Yield tag, value, step and time (seconds since 1970) of each number of a record."""
    start, end = _time(record.started_at), _time(record.finished_at)
    primary = record.primary.name if record.primary else "metric"
    step = 0
    for row in record.history:
        time = start if row.seconds is None else start + row.seconds
        step = max(step, row.step)
        values = {
            "loss/train": row.train_loss,
            "loss/val": row.val_loss,
            f"val/{primary} by step": row.val_metric,
            "rate": row.rate,
        }
        for tag, value in values.items():
            if value is not None:
                yield tag, value, row.step, time
    for split, numbers in record.metrics.get("selected", {}).items():
        for name, value in numbers.items():
            if value is not None:
                yield f"{split}/{name}", value, step, end
    yield "cost/total_seconds", record.timing.total_seconds, step, end


def _write(record: Record, folder: Path) -> None:
    writer_module: Any = importlib.import_module("tensorboard.summary.writer.event_file_writer")
    event_module: Any = importlib.import_module("tensorboard.compat.proto.event_pb2")
    writer = writer_module.EventFileWriter(str(folder))
    try:
        for tag, value, step, time in scalars(record):
            event = event_module.Event(step=step, wall_time=time)
            event.summary.value.add(tag=tag, simple_value=value)
            writer.add_event(event)
        for summary in _settings(record):
            event = event_module.Event(summary=summary, wall_time=_time(record.started_at))
            writer.add_event(event)
    finally:
        writer.close()


def _settings(record: Record) -> Iterator[Any]:
    """Yield the request as hyperparameters, and a failure as text."""
    hparams: Any = importlib.import_module("tensorboard.plugins.hparams.summary_v2")
    cell = record.cell
    values = {
        "backbone": cell.backbone,
        "weights": cell.weights,
        "dataset": cell.dataset,
        "variant": cell.variant,
        "strategy": cell.strategy,
        "seed": cell.seed,
        "protocol": cell.protocol.name,
        "status": record.status,
        **{f"options.{name}": str(value) for name, value in cell.options.items()},
    }
    told = {key: _told(value) if isinstance(value, str) else value for key, value in values.items()}
    yield hparams.hparams_pb(told, trial_id=f"{record.cell_id}-{record.attempt}")
    if record.error is not None:
        yield _text("error", f"{record.error.type}: {record.error.message}")


def _text(tag: str, text: str) -> Any:
    """Return a text, indented so that TensorBoard's Markdown shows it as it is."""
    summary: Any = importlib.import_module("tensorboard.compat.proto.summary_pb2")
    tensor: Any = importlib.import_module("tensorboard.compat.proto.tensor_pb2")
    types: Any = importlib.import_module("tensorboard.compat.proto.types_pb2")
    plugin = summary.SummaryMetadata.PluginData(plugin_name="text")
    found = summary.Summary()
    found.value.add(
        tag=tag,
        metadata=summary.SummaryMetadata(plugin_data=plugin),
        tensor=tensor.TensorProto(
            dtype=types.DT_STRING, string_val=[f"    {_told(text)}".encode()]
        ),
    )
    return found


def _told(text: str) -> str:
    return one_line(text, _MOST_CHARACTERS)


def _plain(name: str) -> str:
    """Return a name as that of a folder, which leads nowhere else."""
    return _UNSAFE.sub("_", name)[:80].lstrip(".") or "_"


def _time(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
