"""The record: everything known about one executed cell, whatever its end."""

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sftbench.options import Listed, later_field
from sftbench.plan import Cell, digest

SCHEMA_VERSION = 1

Status = Literal[
    "ok",
    "skipped",
    "out_of_memory",
    "diverged",
    "timed_out",
    "crashed",
    "failed",
    "interrupted",
]
# Ends that say nothing about the method: the cell counts as missing and runs again.
MISSING: frozenset[str] = frozenset({"skipped", "interrupted"})


_MOST_EXAMPLES = 2**53
_MOST_SECONDS = 1e12
# Whatever somebody else's record counts fits into a column of 64 bits, and sums do too.
Count = Annotated[int, Field(ge=0, le=2**53)]
Number = Annotated[float, Field(ge=-1e100, le=1e100)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MetricSpec(_Frozen):
    """What a metric's numbers mean: `range` is its smallest and largest value (None: unbounded)."""

    name: str
    primary: bool = False
    direction: Literal["max", "min"] = "max"
    range: tuple[Number, Number | None] = (0.0, 1.0)
    chance: Number | None = None


class ClassResult(_Frozen):
    """One class on the test split (selected weights): counts of images, and recall.

    `score` is the task's own measure of the class, where recall does not say all.
    """

    label: str
    train_count: int = Field(ge=0, le=_MOST_EXAMPLES)
    support: int = Field(ge=0, le=_MOST_EXAMPLES)
    recall: float | None = Field(ge=0, le=1)
    score: float | None = later_field(None, ge=-1e100, le=1e100)


class Failure(_Frozen):
    """How a cell ended when it did not end well."""

    type: str
    message: str
    traceback: str = ""


class HistoryRow(_Frozen):
    """One evaluation during training: an epoch is as many draws as the variant has examples.

    `seconds` is the time spent on training so far, all stages, without any evaluation.
    """

    stage: str
    epoch: Number
    step: Count
    train_loss: Number | None
    val_loss: Number | None = None
    val_metric: Number | None = None
    rate: Number
    seconds: float | None = later_field(None, ge=0, le=_MOST_SECONDS)


class StageInfo(_Frozen):
    """What a stage did: counts of parameters and steps, and where its frozen prefix ended.

    `solver` names what trained it in place of the loop's steps; `steps` are then its iterations.
    """

    name: str
    trainable: Count
    steps: Count
    examples: Count
    frozen_blocks: Count
    cached_features: bool
    views: Count | None = None
    solver: str | None = later_field(None)


class Timing(_Frozen):
    """Wall-clock seconds by purpose, device-synchronised, and throughput of training.

    `reliability_seconds` went into what `Protocol.evaluate` asks for.
    Where `shared_by_cells` is above 1, that many cells ran as one problem: each has an equal share
    of the seconds, so that a sum over records is what was spent.
    """

    setup_seconds: float = Field(0.0, le=_MOST_SECONDS)
    warmup_seconds: float = Field(0.0, le=_MOST_SECONDS)
    compile_seconds: float = later_field(0.0, le=_MOST_SECONDS)
    data_wait_seconds: float = Field(0.0, le=_MOST_SECONDS)
    train_seconds: float = Field(0.0, le=_MOST_SECONDS)
    eval_seconds: float = Field(0.0, le=_MOST_SECONDS)
    reliability_seconds: float = later_field(0.0, ge=0, le=_MOST_SECONDS)
    total_seconds: float = Field(0.0, le=_MOST_SECONDS)
    examples_per_second: Number | None = None
    shared_by_cells: Count = 1


class Memory(_Frozen):
    """Peak memory in bytes: of the accelerator (None on a CPU) and of the worker process."""

    peak_device_bytes: Count | None = None
    peak_rss_bytes: Count = 0


class Counts(_Frozen):
    """Sizes and work: parameters, bytes to ship, examples, passes (in examples).

    `prefix_forward` counts examples that this cell ran through a frozen prefix, whose outputs it
    and others then used: 0 where all of them were there. `shipped_bytes` is the whole network,
    `delta_bytes` what must be shipped to somebody who has the weights that the cell started from:
    every tensor that is not among those, or no longer the same (None: not known).
    """

    parameters: Count = 0
    trainable: Count = 0
    shipped_bytes: Count = 0
    train_examples: Count = 0
    val_examples: Count = 0
    test_examples: Count = 0
    unlabelled_examples: Count = 0
    source_examples: Count = 0
    drawn_examples: Count = 0
    forward: Count = 0
    backward: Count = 0
    validations: Count = 0
    budget_factor: Number = 1.0
    prefix_forward: Count = later_field(0)
    delta_bytes: Count | None = later_field(None)


class PredictionsFile(_Frozen):
    """The Parquet file beside the record: name, SHA-256 of its bytes, rows."""

    file: str
    sha256: str
    rows: Count


# What somebody else's record may say: numbers whose sums and squares are still numbers.
Value = Annotated[float, Field(ge=-1e100, le=1e100)]
Values = dict[str, Value | None]


class Record(_Frozen):
    """One attempt of one cell. `checksum` covers every other field.

    `search` has a row for each setting that was tried: `options`, `val` (None: it did not end
    well), `seconds`, and whether it was `chosen`. `measures` are what the strategy measured, by
    name with its unit; `remarks` what it says of the result.
    """

    schema_version: Literal[1] = 1
    cell_id: str
    attempt: int = Field(ge=1)
    cell: Cell
    status: Status
    error: Failure | None = None
    metric_specs: Listed[MetricSpec] = ()
    metrics: dict[Literal["selected", "last"], dict[str, Values]] = {}
    per_class: Listed[ClassResult] = ()
    history: Listed[HistoryRow] = ()
    stages: Listed[StageInfo] = ()
    search: Listed[dict[str, Any]] = ()
    measures: dict[str, Value] = later_field({})
    remarks: Listed[str] = later_field(())
    predictions: PredictionsFile | None = None
    timing: Timing = Timing()
    memory: Memory = Memory()
    counts: Counts = Counts()
    provenance: dict[str, Any] = {}
    started_at: str
    finished_at: str
    checksum: str = ""

    @property
    def primary(self) -> MetricSpec | None:
        """The metric that a verdict compares."""
        return next((spec for spec in self.metric_specs if spec.primary), None)

    def value(self, metric: str, split: str = "test", which: str = "selected") -> float | None:
        """Return a metric's value, or None where the record has none."""
        splits = self.metrics.get("last" if which == "last" else "selected", {})
        return splits.get(split, {}).get(metric)

    def seconds_to(self, value: float) -> float | None:
        """Return the seconds of training until validation first reached a value.

        Args:
            value: Of the primary metric.

        Returns:
            Without any evaluation; None where it was never reached or the record does not say.
        """
        is_min = self.primary is not None and self.primary.direction == "min"
        for row in self.history:
            if row.val_metric is None or row.seconds is None:
                continue
            if row.val_metric <= value if is_min else row.val_metric >= value:
                return row.seconds
        return None

    def sealed(self) -> "Record":
        """Return the record with its checksum filled in."""
        return self.model_copy(update={"checksum": self.expected_checksum()})

    def expected_checksum(self) -> str:
        """Return the digest over every field but `checksum`."""
        return digest(self.model_dump(mode="json", exclude={"checksum"}))


def is_imported(record: Record) -> bool:
    """Tell whether a record was brought in from elsewhere, and not made by a run."""
    return isinstance(record.provenance.get("imported"), dict)


def import_source(record: Record) -> str:
    """Return where an imported record came from, as whoever imported it said; else empty."""
    imported = record.provenance.get("imported")
    source = imported.get("source") if isinstance(imported, dict) else None
    return source if isinstance(source, str) else ""


def now() -> str:
    """Return the time in UTC, ISO 8601, to the millisecond."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")


def ended(cell: Cell, status: Status, error: Failure, started_at: str) -> Record:
    """Return the record of a cell that cannot write its own: timed out, crashed, interrupted."""
    return Record(
        cell_id=cell.cell_id,
        attempt=1,
        cell=cell,
        status=status,
        error=error,
        started_at=started_at,
        finished_at=now(),
    )
