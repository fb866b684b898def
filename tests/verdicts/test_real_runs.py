"""Each reason is given to a real run that deserves it, and to none that does not.

Nothing here is written by hand but the data and the mischief: cells are trained, their records and
predictions are stored, and the table is made of the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.patterns import FaintPatterns, Patterns, Trained, rates, table, told, train_backbone
from support.workspaces import make_cell, make_warm
from torch import nn

from sftbench.api import (
    Model,
    PretrainedWeights,
    Record,
    Stage,
    Step,
    Strategy,
    StrategyContext,
    Subset,
    Variant,
    VariantContext,
)
from sftbench.models.freezing import state_digest
from sftbench.report.aggregate import Row
from sftbench.testing import TinyBackbone
from sftbench.warm import Warm


class Shuffled(Variant):
    """Every image has some image's label."""

    name = "shuffled"
    summary = "labels that say nothing"

    def apply(self, targets: NDArray[np.int64], ctx: VariantContext) -> Subset:
        order = ctx.generator("shuffle").permutation(len(targets))
        return Subset(np.arange(len(targets), dtype=np.int64), targets[order])


class Dead(TinyBackbone):
    """Weights whose last block gives zeros, whatever it is shown: no gradient mends it."""

    name = "dead-convnet"

    def pretrained(self, network: nn.Module) -> PretrainedWeights:
        state = super().pretrained(network).state
        dead = {name: t - 9.0 if name == "model.2.1.bias" else t for name, t in state.items()}
        return PretrainedWeights(
            state=dead, head=None, digest=state_digest(dead.items()), origin="made so"
        )


class Unlucky(Strategy):
    """Full, but that one seed of three starts with a dead network."""

    name = "unlucky"

    def adapt(self, model: Model, ctx: StrategyContext) -> Model:
        if int(torch.randint(3, (1,), generator=ctx.generator("luck"))) == 0:
            with torch.no_grad():
                next(p for n, p in model.named_parameters() if n.endswith("2.1.bias")).sub_(9.0)
        return model

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return [Stage(name="train")]


class EatsMemory(Strategy):
    """Asks for more memory with each step, as what keeps every graph does."""

    name = "eats-memory"
    size = 2**20

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return [Stage(name="train", update=self.update)]

    def update(self, step: Step) -> None:
        self.size *= 2**14
        torch.empty(self.size)
        step.backward(step.loss())
        step.apply()


class Breaks(Strategy):
    """Raises."""

    name = "breaks"

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        raise ValueError("no stages today")


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    found = make_warm(
        Patterns, FaintPatterns, Shuffled, Trained, Dead, Unlucky, EatsMemory, Breaks, disk=False
    )
    yield from train_backbone(found)


def one(out: Path, warm: Warm, strategy: str, **changes: Any) -> tuple[Row, Record]:
    """Run one cell; return its row and its record."""
    values = {"dataset": "tiny-patterns", "epochs": 4, "rates": rates(1e-2)} | changes
    rows, records = table(out, warm, [make_cell(warm, strategy, **values)])
    return rows[strategy], records[0]


def hard(row: Row) -> set[str]:
    return {finding.reason for finding in row.verdict.reasons if finding.hard}


def test_a_healthy_run_gets_none(tmp_path: Path, warm: Warm) -> None:
    values = {"dataset": "tiny-patterns", "backbone": "trained-convnet", "epochs": 2}
    cells = [
        make_cell(warm, name, rates=rates(1e-2, head_alone=0.1), **values)
        for name in ("head-only", "full", "lp-ft", "scratch")
    ]
    rows, records = table(tmp_path, warm, cells)
    assert {name: told(row) for name, row in rows.items()} == {name: {} for name in rows}
    assert {name: row.verdict.kind for name, row in rows.items()} == {
        "head-only": "baseline",
        "full": "inconclusive",
        "lp-ft": "inconclusive",
        "scratch": "inconclusive",
    }
    assert min(record.value("accuracy") or 0.0 for record in records) > 0.9
    assert min(record.value("accuracy", "train") or 0.0 for record in records) > 0.9


@pytest.mark.parametrize(
    ("strategy", "decay"), [("full", 0.01), ("full", 0.0), ("head-only", 0.0), ("lp-ft", 0.0)]
)
def test_a_rate_of_a_million_diverges(
    tmp_path: Path, warm: Warm, strategy: str, decay: float
) -> None:
    # With weight decay the weights leave the finite numbers, without it the loss stays finite.
    # The first stage of lp-ft is trained with a good rate.
    wild = rates(1e6) if strategy != "lp-ft" else rates(1e6, head_alone=1e-2)
    row, record = one(tmp_path, warm, strategy, rates=wild, weight_decay=decay, optimizer="sgd")
    assert row.verdict.kind == "failure"
    assert record.status == ("diverged" if decay else "ok")
    text = told(row)["DIVERGED"]
    assert "loss is nan at step" in text if decay else ", more than 1.5 x 1." in text


def test_fine_tuning_from_a_good_head_is_no_divergence(tmp_path: Path, warm: Warm) -> None:
    row, record = one(
        tmp_path, warm, "lp-ft", backbone="trained-convnet", epochs=2, rates=rates(0.1)
    )
    losses = [line.train_loss or 0.0 for line in record.history if line.stage == "train"]
    assert losses[-1] > 10 * losses[0]  # a bold rate after a start that was all but perfect
    assert told(row) == {}
    assert row.mean is not None
    assert row.mean > 0.9


def test_shuffled_labels_teach_nothing(tmp_path: Path, warm: Warm) -> None:
    row, _ = one(tmp_path, warm, "full", variant="shuffled", epochs=1)
    assert row.verdict.kind == "failure"
    assert hard(row) == {"NO_LEARNING"}


def test_extreme_imbalance_loses_the_small_classes(tmp_path: Path, warm: Warm) -> None:
    row, record = one(tmp_path, warm, "full", variant="longtail:100", epochs=2)
    assert row.verdict.kind == "failure"
    assert hard(row) == {"MINORITY_COLLAPSE"}
    least = min(record.per_class, key=lambda result: result.recall or 0.0)
    assert f"worst class '{least.label}' recall 0.00" in told(row)["MINORITY_COLLAPSE"]


def test_a_tiny_set_trained_long_is_overfitted(tmp_path: Path, warm: Warm) -> None:
    tiny = {"dataset": "faint-patterns", "variant": "fewshot:3", "rates": rates(3e-2)}
    row, record = one(tmp_path / "long", warm, "scratch", epochs=60, **tiny)
    found = told(row)["OVERFIT"]
    assert record.value("accuracy", "train") == 1.0
    assert found.startswith("accuracy 1.000 on training examples, 0.")
    assert row.verdict.kind == "inconclusive"
    row, record = one(tmp_path / "whole", warm, "scratch", dataset="faint-patterns")
    # It fits what it has seen better, as all do; but its validation loss has not risen.
    assert "OVERFIT" not in told(row)
    train, test = record.value("accuracy", "train"), record.value("accuracy")
    assert train is not None
    assert test is not None
    assert train > test + 0.1


def test_one_bad_seed_is_unstable(tmp_path: Path, warm: Warm) -> None:
    values = {"dataset": "tiny-patterns", "epochs": 3, "rates": rates(1e-2), "limit_train": 240}
    cells = [make_cell(warm, "unlucky", seed=seed, **values) for seed in range(3)]
    rows, records = table(tmp_path, warm, cells)
    accuracies = sorted(record.value("accuracy") or 0.0 for record in records)
    assert accuracies[0] == 0.25
    assert accuracies[1] > 0.8
    found = told(rows["unlucky"])
    assert hard(rows["unlucky"]) == set()
    assert "NO_LEARNING in 1 of 3 seeds (seed " in found["UNSTABLE"]
    assert "SD over seeds" in found["UNSTABLE"]


def test_a_plugin_that_eats_memory_and_one_that_breaks(tmp_path: Path, warm: Warm) -> None:
    row, record = one(tmp_path / "eats", warm, "eats-memory")
    assert (row.verdict.kind, record.status) == ("failure", "out_of_memory")
    assert told(row)["RESOURCE"].startswith("out of memory: RuntimeError: ")
    row, record = one(tmp_path / "breaks", warm, "breaks")
    assert (row.verdict.kind, record.status) == ("failure", "failed")
    assert told(row) == {"CRASHED": "failed: ValueError: no stages today"}


def test_weights_that_hurt_are_negative_transfer(tmp_path: Path, warm: Warm) -> None:
    values = {"dataset": "tiny-patterns", "epochs": 2, "rates": rates(1e-2), "limit_train": 160}
    cells = [
        make_cell(warm, name, seed=seed, backbone="dead-convnet", **values)
        for name in ("full", "scratch")
        for seed in range(6)
    ]
    rows, _ = table(tmp_path, warm, cells, baseline="full")
    found = told(rows["full"])
    assert hard(rows["full"]) == {"NO_LEARNING", "NEGATIVE_TRANSFER"}
    assert found["NEGATIVE_TRANSFER"].endswith("against scratch, adjusted p 0.0312 over 1")
    assert rows["scratch"].verdict.kind == "success"
    assert "NEGATIVE_TRANSFER" not in told(rows["scratch"])
