"""From hits to verdicts: simulated records through the code that judges real ones.

Only one thing is done for many records at once that a run does for each alone: sums over resampled
test examples, which are a product of matrices (a test holds both ways equal). From there on each
trial is a section of records of its own, judged by `judge_section`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.verdicts.regimes import Hits
from sftbench.contracts.task import Task
from sftbench.discovery import build_catalog
from sftbench.evaluation.resampling import Resampled, resampled_sums
from sftbench.plan import Cell, Plan
from sftbench.protocol import Protocol
from sftbench.records import MetricSpec, Record
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.evidence import Section
from sftbench.verdicts.judge import Judged, judge_section
from sftbench.verdicts.sections import find_sections

TASK = "image-classification"
BASELINE = "method-0"
_METRIC = MetricSpec(name="accuracy", primary=True)
# Of float64 values that stand in memory at once: 64 MiB.
_MOST_VALUES = 1 << 23


class SimulatedScoring:
    """The `Scoring` of verdicts, for records whose resampled accuracies are given."""

    def __init__(self) -> None:
        task = cast(Task, build_catalog(chosen="").create("task", TASK))
        self.reasons, self.tolerance = task.reasons, task.tolerance
        self.kept: dict[str, Resampled] = {}

    def reasons_of(self, task: str, records: Sequence[Record] = ()) -> frozenset[str]:
        """Return the names of the reasons that apply to image classification."""
        return self.reasons

    def resampled_of(self, record: Record) -> Resampled:
        """Return what was given for the record's cell."""
        return self.kept[record.cell_id]


@dataclass(frozen=True)
class Trials:
    """Trials of one shape: methods over seeds, the first of them the baseline.

    Attributes:
        section: With a record for each cell, whose accuracies are replaced in each trial.
        scoring: What stands beside the records.
        criteria: Of the verdicts.
    """

    section: Section
    scoring: SimulatedScoring
    criteria: Criteria

    @classmethod
    def of(cls, num_methods: int, num_seeds: int, criteria: Criteria | None = None) -> Trials:
        """Return trials of so many methods and seeds."""
        cells = [[_cell(method, seed) for seed in range(num_seeds)] for method in range(num_methods)]
        plan = Plan(cells=tuple(cell for row in cells for cell in row), baseline=BASELINE)
        records = {cell.cell_id: _record(cell) for cell in plan.cells}
        [section] = find_sections([plan], records)
        return cls(section, SimulatedScoring(), criteria or Criteria())

    def judge(self, hits: Hits) -> Iterator[tuple[Judged, ...]]:
        """Yield what is judged of each trial.

        Args:
            hits: bool [trials, methods, seeds, examples].
        """
        num_examples = hits.shape[-1]
        for values in _resampled(hits):
            yield self._judge(values, num_examples)

    def _judge(self, values: NDArray[np.float64], num_examples: int) -> tuple[Judged, ...]:
        """Judge one trial, accuracies [methods, seeds, 1 + resamples]."""
        groups = []
        for group, method in zip(self.section.groups, values, strict=True):
            records = {}
            for (seed, record), one in zip(group.records.items(), method, strict=True):
                metrics = {"selected": {"test": {_METRIC.name: float(one[0])}}}
                records[seed] = record.model_copy(update={"metrics": metrics})
                self.scoring.kept[record.cell_id] = Resampled(
                    values=one,
                    num_examples=num_examples,
                    examples="simulated",
                    tolerance=self.scoring.tolerance,
                    reasons=self.scoring.reasons,
                )
            groups.append(replace(group, records=records))
        section = replace(self.section, groups=tuple(groups), baseline=groups[0])
        return judge_section(section, self.scoring, self.criteria)


def _resampled(hits: Hits) -> Iterator[NDArray[np.float64]]:
    """Yield the accuracies [methods, seeds, 1 + resamples] of each trial."""
    _, num_methods, num_seeds, num_examples = hits.shape
    for start, stop in _parts(hits.shape):
        part = hits[start:stop]
        # Whole numbers below 2^24 are exact in float32.
        sums = resampled_sums(part.reshape(-1, num_examples).T.astype(np.float32))
        values = np.ascontiguousarray(sums.T, dtype=np.float64) / num_examples
        yield from values.reshape(stop - start, num_methods, num_seeds, -1)


def _parts(shape: Sequence[int]) -> Iterator[tuple[int, int]]:
    num_trials, num_methods, num_seeds, _ = shape
    size = max(1, _MOST_VALUES // (num_methods * num_seeds * 2001))
    for start in range(0, num_trials, size):
        yield start, min(start + size, num_trials)


def _cell(method: int, seed: int) -> Cell:
    return Cell(
        backbone="simulated",
        weights="pretrained",
        dataset="simulated",
        variant="balanced",
        strategy=f"method-{method}",
        seed=seed,
        task=TASK,
        options={},
        protocol=Protocol(image_size=64, limit_train=1000, limit_test=1000, precision="fp32"),
        versions={"strategy": 1},
    )


def _record(cell: Cell) -> Record:
    return Record(
        cell_id=cell.cell_id,
        attempt=1,
        cell=cell,
        status="ok",
        metric_specs=(_METRIC,),
        started_at="2025-01-01T00:00:00Z",
        finished_at="2025-01-01T00:00:00Z",
    )
