"""What a store knows of data, splits and protocols, and where a submission differs from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from sftbench.errors import RecordError
from sftbench.leaderboard.findings import Finding, error
from sftbench.leaderboard.recomputing import Outputs
from sftbench.names import shown
from sftbench.plan import Plan, canonical
from sftbench.records import Record
from sftbench.store import Store

# What says which examples a split has, and of what the split must follow.
_OF_DATA = ("train", "test")
# What everybody has the same of; those that are trained first differ between machines.
_SHARED_WEIGHTS = "pretrained"
Key = tuple[object, ...]


class Known:
    """Facts of records that are believed; the first that names a fact fixes it.

    Args:
        is_open: Whether what is not known at all is accepted. What is known otherwise never is.
    """

    def __init__(self, *, is_open: bool) -> None:
        self._is_open = is_open
        self._protocols: set[Key] = set()
        self._facts: dict[Key, Any] = {}
        self._truth: dict[tuple[str, str], dict[int, int]] = {}
        self._versions: dict[Key, set[int | None]] = {}
        self._metrics: dict[Key, set[str]] = {}
        self._criteria: dict[str, float] | None = None
        self._baselines: dict[Key, str] = {}
        self._cells: set[str] = set()
        self._groups: set[Key] = set()

    @classmethod
    def of_store(cls, store: Store, records: Mapping[str, Record], *, is_open: bool) -> Known:
        """Learn what a store knows: every record, and the predictions of one for each test split.

        Args:
            store: Whose plans and predictions are read.
            records: Its latest ones, by cell.
            is_open: As of `Known`.
        """
        known = cls(is_open=is_open)
        for record in records.values():
            outputs: Outputs = {}
            if record.status == "ok" and not known._has_truth(record):
                try:
                    outputs = store.predictions(record)
                except RecordError:
                    continue
            known.learn(record, outputs)
        for plan in store.plans():
            known.learn_plan(plan)
        return known

    def learn(self, record: Record, outputs: Outputs) -> None:
        """Believe a record: its facts are known from now on, where they were not before."""
        cell = record.cell
        self._protocols.add(_measured(record))
        if record.status != "ok":
            return
        self._groups.add(cell.group)
        metrics = self._metrics.setdefault(_measured(record), _metrics(record))
        metrics &= _metrics(record)
        for key, version in _versions(record):
            self._versions.setdefault(key, set()).add(version)
        for key, value, _ in _facts(record):
            self._facts.setdefault(key, value)
        kept = outputs.get(("test", "selected"))
        if kept is not None:
            pairs = zip(kept.index.tolist(), kept.targets.tolist(), strict=True)
            self._truth.setdefault(_tested(record), dict(pairs))

    def learn_plan(self, plan: Plan) -> None:
        """Believe a plan: its criteria are the store's, its baseline that of its sections."""
        self._criteria = plan.criteria if self._criteria is None else self._criteria
        self._cells |= {cell.cell_id for cell in plan.all_cells}
        for cell in plan.all_cells:
            self._baselines.setdefault(cell.section, plan.baseline)

    def differences(self, where: str, record: Record, outputs: Outputs) -> Iterator[Finding]:
        """Yield what a record says otherwise than what is known."""
        cell = record.cell
        if not self._is_open and _measured(record) not in self._protocols:
            known = any(dataset == cell.dataset for dataset, _ in self._protocols)
            yield error(where, _unknown(cell.dataset, cell.protocol.name, is_known=known))
            return
        if record.status != "ok":
            return
        lacking = self._metrics.get(_measured(record), set()) - _metrics(record)
        if lacking:
            named = ", ".join(sorted(lacking))
            yield error(where, f"lacks metrics that all the results have: {shown(named, 120)}")
        for key, version in _versions(record):
            seen = self._versions.get(key, {version})
            if version not in seen:
                kind, name = key
                versions = " or ".join(sorted(str(one) for one in seen))
                yield error(
                    where, f"{kind} {shown(name, 60)} is of version {version}, known is {versions}"
                )
        for key, value, what in _facts(record):
            if key in self._facts and self._facts[key] != value:
                yield error(where, f"{what} {shown(value, 60)}, not {shown(self._facts[key], 60)}")
        yield from self._targets(where, record, outputs)

    def plan_differences(
        self, where: str, plan: Plan, submitted: Collection[str]
    ) -> Iterator[Finding]:
        """Yield what a plan asks for otherwise than what is known.

        Args:
            where: Its file.
            plan: Of the submission.
            submitted: Ids of cells that the submission has a record of.
        """
        if self._criteria is not None and plan.criteria != self._criteria:
            yield error(where, "asks for other criteria than the plans before it")
        baselines = {self._baselines.get(cell.section, plan.baseline) for cell in plan.all_cells}
        for other in sorted(baselines - {plan.baseline}):
            yield error(
                where,
                f"compares with {shown(plan.baseline, 60)} where the results compare with "
                f"{shown(other, 60)}",
            )
        added = {
            cell.strategy
            for cell in plan.all_cells
            if cell.cell_id not in self._cells
            and cell.cell_id not in submitted
            and cell.group in self._groups
        }
        for strategy in sorted(added):
            yield error(
                where,
                f"asks for more cells of {shown(strategy, 60)}, which the results have, without a "
                "record: they would count as missing",
            )

    def _has_truth(self, record: Record) -> bool:
        return _tested(record) in self._truth

    def _targets(self, where: str, record: Record, outputs: Outputs) -> Iterator[Finding]:
        truth = self._truth.get(_tested(record))
        kept = outputs.get(("test", "selected"))
        if truth is None or kept is None:
            return
        pairs = zip(kept.index.tolist(), kept.targets.tolist(), strict=True)
        wrong = sum(truth.get(index) != target for index, target in pairs)
        if wrong or len(kept.index) != len(truth):
            yield error(
                where,
                f"{wrong} of {len(kept.index)} targets of its test split are not those of "
                f"{cell_data(record)} in the records before it ({len(truth)} examples)",
            )


def cell_data(record: Record) -> str:
    """Return the data set of a record, for a line."""
    return shown(record.cell.dataset, 60)


def facts_missing(record: Record) -> Iterable[str]:
    """Return which hashes of data an ok record does not name."""
    data = _data(record)
    names = (*_OF_DATA, *(f"{split}_indices" for split in ("train", "val", "test")))
    return [name for name in names if not isinstance(data.get(name), str)]


def _facts(record: Record) -> Iterator[tuple[Key, Any, str]]:
    """Yield what must be the same wherever the key is: key, value, and words before the value."""
    cell, data = record.cell, _data(record)
    protocol = cell.protocol
    dataset = (cell.dataset, cell.versions.get("dataset"))
    weights = record.provenance.get("weights")
    weights = weights if isinstance(weights, dict) else {}
    method = (cell.backbone, cell.weights, cell.strategy, canonical(cell.options))
    effective = weights.get("effective")
    yield ("effective", *method), effective, "weights that it started from are"
    if effective == _SHARED_WEIGHTS:
        told = f"digest of the weights of {shown(cell.backbone, 60)} is"
        yield ("weights", cell.backbone), weights.get("digest"), told
    for split in _OF_DATA:
        told = f"fingerprint of the {split} data of {cell_data(record)} is"
        yield ("data", dataset, split), data.get(split), told
    yield (
        ("test", dataset, protocol.limit_test),
        data.get("test_indices"),
        "test split (test_indices) is",
    )
    drawn = (dataset, cell.seed, protocol.limit_train, protocol.validation_fraction)
    yield (
        ("val", *drawn),
        data.get("val_indices"),
        f"validation split of seed {cell.seed} (val_indices) is",
    )
    variant = (cell.variant, cell.versions.get("variant"))
    if variant[1] is not None:
        told = f"training images of seed {cell.seed} (train_indices) are"
        yield ("train", *drawn, *variant), data.get("train_indices"), told
    if record.per_class:
        counts = [[one.label, one.train_count] for one in record.per_class]
        yield (
            ("counts", *drawn, *variant),
            counts,
            f"training examples by class of seed {cell.seed} are",
        )


def _versions(record: Record) -> Iterator[tuple[Key, int | None]]:
    """Yield kind and name of what rows do not show the version of, and its version."""
    cell = record.cell
    for kind in ("dataset", "variant", "backbone"):
        yield (kind, getattr(cell, kind)), cell.versions.get(kind)


def _measured(record: Record) -> Key:
    return record.cell.dataset, record.cell.section[-1]


def _metrics(record: Record) -> set[str]:
    return set(record.metrics.get("selected", {}).get("test", {}))


def _tested(record: Record) -> tuple[str, str]:
    return record.cell.dataset, str(_data(record).get("test_indices"))


def _data(record: Record) -> dict[str, Any]:
    data = record.provenance.get("data")
    return data if isinstance(data, dict) else {}


def _unknown(dataset: str, protocol: str, *, is_known: bool) -> str:
    if not is_known:
        return f"data set {shown(dataset, 60)} is not known to the results (--accept-new takes it)"
    return (
        f"its protocol ({shown(protocol, 60)}) is none that the results have for "
        f"{shown(dataset, 60)} (--accept-new takes it)"
    )
