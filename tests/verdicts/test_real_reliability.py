"""The reasons of what is measured besides accuracy, each given to a real run that deserves it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support.patterns import (
    FaintPatterns,
    OtherPatterns,
    Patterns,
    Trained,
    rates,
    table,
    told,
    train_backbone,
)
from support.workspaces import make_cell, make_warm
from torch import Tensor

from sftbench.api import Model, Stage, StepOutput, Strategy, StrategyContext
from sftbench.warm import Warm

TUNED = {"dataset": "tiny-patterns", "backbone": "trained-convnet", "epochs": 2}
SLOW_BODY_FAST_HEAD = rates(1e-2, head_alone=0.1)


class Sure(Strategy):
    """Full, and then sure of everything: what is foreign, too."""

    name = "sure"

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        return [Stage(name="train")]

    def finalise(self, model: Model, ctx: StrategyContext) -> Model:
        with torch.no_grad():
            for parameter in model.head.parameters():
                parameter.mul_(1e4)
        return model


class Brittle(Strategy):
    """Learns to be right on clean images, and wrong where there is a little noise."""

    name = "brittle"

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        def loss(step: StepOutput) -> Tensor:
            noisy = step.model(step.inputs + 0.4 * torch.randn_like(step.inputs))
            right = step.task_loss(step.logits, step.targets)
            return right + step.task_loss(noisy, (step.targets + 1) % 4)

        return [Stage(name="train", loss=loss)]


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    found = make_warm(Patterns, FaintPatterns, OtherPatterns, Trained, Sure, Brittle, disk=False)
    yield from train_backbone(found)


def test_a_healthy_run_gets_none(tmp_path: Path, warm: Warm) -> None:
    evaluate = ("corruptions", "ood:other-patterns")
    cells = [
        make_cell(warm, name, rates=SLOW_BODY_FAST_HEAD, evaluate=evaluate, limit_test=80, **TUNED)
        for name in ("head-only", "full")
    ]
    rows, records = table(tmp_path, warm, cells)
    assert {name: told(row) for name, row in rows.items()} == {"head-only": {}, "full": {}}
    for record in records:
        assert record.value("ece_scaled") is not None
        assert record.value("ratio", "corrupted") is not None
        assert record.value("auroc_max_softmax", "ood:other-patterns") is not None


def test_a_tiny_set_trained_long_is_miscalibrated(tmp_path: Path, warm: Warm) -> None:
    tiny = {"dataset": "faint-patterns", "variant": "fewshot:3", "rates": rates(3e-2)}
    rows, _ = table(tmp_path, warm, [make_cell(warm, "scratch", epochs=60, **tiny)])
    found = told(rows["scratch"])
    assert found.keys() == {"OVERFIT", "MISCALIBRATED"}
    assert found["MISCALIBRATED"].startswith("ECE 0.")
    assert " > 0.05 (by chance a calibrated model's is up to " in found["MISCALIBRATED"]


def test_bold_tuning_forgets_the_source(tmp_path: Path, warm: Warm) -> None:
    cells = [
        make_cell(
            warm,
            name,
            dataset="other-patterns",
            weights="pretrain:tiny-patterns",
            epochs=4,
            rates=rates(3e-2, head_alone=0.1),
            evaluate=("forgetting",),
        )
        for name in ("head-only", "full")
    ]
    rows, records = table(tmp_path, warm, cells)
    assert min(record.value("accuracy_before", "source") or 0.0 for record in records) > 0.9
    assert told(rows["full"]).keys() == {"FORGETTING"}
    assert told(rows["full"])["FORGETTING"].startswith("source accuracy 1.000 before, 0.")
    assert "FORGETTING" not in told(rows["head-only"])


def test_what_a_little_noise_turns_is_fragile(tmp_path: Path, warm: Warm) -> None:
    values = {"evaluate": ("corruptions",), "limit_test": 80, **TUNED, "epochs": 4}
    cells = [
        make_cell(warm, name, rates=SLOW_BODY_FAST_HEAD, **values)
        for name in ("head-only", "brittle")
    ]
    rows, _ = table(tmp_path, warm, cells)
    assert told(rows["head-only"]) == {}
    assert told(rows["brittle"])["FRAGILE"].startswith("corrupted images keep 0.")
    assert " of that of head-only: 0." in told(rows["brittle"])["FRAGILE"]


def test_certainty_about_everything_is_a_distortion(tmp_path: Path, warm: Warm) -> None:
    values = {"evaluate": ("ood:other-patterns",), **TUNED, "dataset": "faint-patterns"}
    cells = [
        make_cell(warm, name, seed=seed, rates=rates(1e-2, head_alone=3e-2), **values)
        for name in ("head-only", "sure")
        for seed in range(6)
    ]
    rows, _ = table(tmp_path, warm, cells)
    found = told(rows["sure"])["OOD_DISTORTION"]
    assert " better than head-only, but AUROC -0." in found
    assert found.endswith(" on other-patterns, adjusted p 0.0312 over 1")
    assert "OOD_DISTORTION" not in told(rows["head-only"])
