"""From hits to verdicts, in two ways that agree.

`judge` takes the whole path: a trial is a section of simulated records, judged by `judge_section`.
`compare` calls the functions that decide and nothing else, in a third of the time. The study counts
by `compare`, and sends some trials of each setting through `judge` too: a difference ends it.
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
from sftbench.verdicts.comparisons import Comparison
from sftbench.verdicts.criteria import Criteria
from sftbench.verdicts.evidence import Section
from sftbench.verdicts.judge import Judged, judge_section
from sftbench.verdicts.sections import find_sections
from sftbench.verdicts.statistics import holm, seeds_needed, sign_flip_p, two_way_interval

TASK = "image-classification"
BASELINE = "method-0"
_METRIC = MetricSpec(name="accuracy", primary=True)
# Of float64 values that stand in memory at once: 4 MiB, which a cache holds.
_MOST_VALUES = 1 << 19


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
        cells = [
            [_cell(method, seed) for seed in range(num_seeds)] for method in range(num_methods)
        ]
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
        for values in _resampled(hits.astype(np.float32)):
            yield self._judge(values, num_examples)

    def compare(self, hits: Hits) -> Iterator[tuple[Comparison, ...]]:
        """Yield the comparisons of each trial with its first method, as `judge` would make them.

        Args:
            hits: bool [trials, methods, seeds, examples].
        """
        num_seeds, num_examples = hits.shape[-2:]
        num_family = hits.shape[1] - 1
        needed = seeds_needed(num_family, self.criteria.alpha)
        ones = hits.astype(np.float32)
        for values in _resampled(ones[:, 1:] - ones[:, :1]):
            found = [sign_flip_p(each[:, 0]) for each in values]
            intervals = [
                two_way_interval(each, num_examples, self.criteria.level) for each in values
            ]
            wider = holm([1.0 if one is None else one.p for one in intervals])
            compared = []
            for number, (each, adjusted) in enumerate(zip(values, holm(found), strict=True)):
                estimate = float(each[:, 0].mean())
                compared.append(
                    Comparison(
                        against=BASELINE,
                        estimate=estimate,
                        gain=estimate,
                        interval=intervals[number],
                        p=found[number],
                        p_adjusted=float(adjusted),
                        num_pairs=num_seeds,
                        num_family=num_family,
                        seeds_needed=needed,
                        lacking="",
                        p_population=float(wider[number]),
                    )
                )
            yield tuple(compared)

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


def _resampled(hits: NDArray[np.float32]) -> Iterator[NDArray[np.float64]]:
    """Yield the accuracies [methods, seeds, 1 + resamples] of each trial, or their differences."""
    _, num_methods, num_seeds, num_examples = hits.shape
    for start, stop in _parts(hits.shape):
        # Sums of so few whole numbers are exact in float32.
        sums = resampled_sums(hits[start:stop].reshape(-1, num_examples).T)
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
