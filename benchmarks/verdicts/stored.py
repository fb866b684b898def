"""Benchmarks made of stored predictions: real seeds and real test examples, drawn again.

The seeds and examples of a store stand for the population. A trial draws as many seeds as it needs
from those of a group, and a test set of 400 of its examples or fewer, both with replacement. So
what seeds and examples do to each other is what it was in the networks that were trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.verdicts.regimes import Hits
from sftbench.errors import SftbenchError
from sftbench.records import Record
from sftbench.store import Store
from sftbench.verdicts.evidence import Group
from sftbench.verdicts.sections import find_sections

_LEAST_SEEDS = 5
_MOST_EXAMPLES = 400
_METRIC = "accuracy"


@dataclass(frozen=True, eq=False)
class SameGroup:
    """A/A: in each pair, two different seeds of one group, one called A and one B.

    Which is which is chance, so the expected difference is exactly 0. `hits` is bool [seeds,
    examples] of the group.
    """

    name: str
    says: str
    hits: Hits

    @property
    def num_examples(self) -> int:
        """Of a test set that is drawn."""
        return min(_MOST_EXAMPLES, self.hits.shape[-1])

    def truth(self, gains: Sequence[float]) -> float:
        """Return the expected difference, of the second method and the first: none."""
        return 0.0

    def draw(
        self, gains: Sequence[float], num_seeds: int, num_trials: int, rng: np.random.Generator
    ) -> Hits:
        """Return hits [trials, methods, seeds, examples]; one method is as good as another."""
        shape = (num_trials, num_seeds, len(self.hits))
        # The first of a random order are drawn without replacement: methods of a pair differ.
        order = rng.random(shape).argsort(axis=2)[..., : len(gains)]
        return _with_examples(self.hits, order.transpose(0, 2, 1), self.num_examples, rng)


@dataclass(frozen=True, eq=False)
class TwoGroups:
    """A/B: two groups of one section, paired by seed. `hits` is bool [2, seeds, examples]."""

    name: str
    says: str
    hits: Hits

    @property
    def num_examples(self) -> int:
        """Of a test set that is drawn."""
        return min(_MOST_EXAMPLES, self.hits.shape[-1])

    def truth(self, gains: Sequence[float]) -> float:
        """Return the difference of all stored seeds on all stored examples."""
        first, second = self.hits.mean(axis=(1, 2))
        return float(second - first)

    def draw(
        self, gains: Sequence[float], num_seeds: int, num_trials: int, rng: np.random.Generator
    ) -> Hits:
        """Return hits [trials, 2, seeds, examples]."""
        num_stored = self.hits.shape[1]
        seeds = rng.integers(num_stored, size=(num_trials, 1, num_seeds))
        flat = self.hits.reshape(2 * num_stored, -1)
        rows = np.concatenate([seeds, seeds + num_stored], axis=1)
        return _with_examples(flat, rows, self.num_examples, rng)


def stored_regimes(folders: Sequence[Path]) -> Iterator[SameGroup | TwoGroups]:
    """Yield A/A of every stored group, then A/B of each with its baseline.

    Left out are groups with fewer than five completed seeds, whose metric is not accuracy, or
    whose seeds were not tested on the same examples; and of a store's groups of one strategy and
    data set, all but the first.
    """
    for folder in folders:
        store = Store(folder)
        scan = store.scan()
        seen = set()
        for section in find_sections(store.plans(), scan.records):
            found = {group.key: _hits(store, group) for group in section.groups}
            base = section.baseline
            theirs = found[base.key] if base else None
            for group in section.groups:
                hits = found[group.key]
                where = f"{group.cell.dataset}/{group.cell.variant}"
                if hits is None or (group.label, where, hits.shape) in seen:
                    continue
                seen.add((group.label, where, hits.shape))
                shape = f"{len(hits)} seeds x {hits.shape[1]} examples"
                yield SameGroup(f"{group.label}, {where}", shape, hits)
                if base and theirs is not None and group is not base and theirs.shape == hits.shape:
                    pair = f"{group.label} - {base.label}, {where}"
                    yield TwoGroups(pair, shape, np.stack([theirs, hits]))


def _hits(store: Store, group: Group) -> Hits | None:
    """Return bool [seeds, examples], examples by index."""
    records = list(group.completed.values())
    if group.metric is None or group.metric.name != _METRIC or len(records) < _LEAST_SEEDS:
        return None
    rows = [_row(store, record) for record in records]
    kept = [row for row in rows if row is not None]
    if len(kept) < len(rows) or any(not np.array_equal(row[0], kept[0][0]) for row in kept):
        return None
    return np.stack([hits for _, hits in kept])


def _row(store: Store, record: Record) -> tuple[np.ndarray, np.ndarray] | None:
    try:
        kept = store.predictions(record).get(("test", "selected"))
    except SftbenchError:
        return None
    if kept is None:
        return None
    order = np.argsort(kept.index, kind="stable")
    hits = kept.outputs.argmax(axis=1) == kept.targets
    return kept.index[order], hits[order]


def _with_examples(
    hits: Hits, rows: np.ndarray, num_examples: int, rng: np.random.Generator
) -> Hits:
    """Return hits [trials, methods, seeds, examples] of rows [trials, methods, seeds].

    The examples of a trial are drawn with replacement, the same for all its methods and seeds.
    """
    examples = rng.integers(hits.shape[-1], size=(len(rows), 1, 1, num_examples))
    return hits[rows[..., None], examples]
