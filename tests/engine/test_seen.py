"""What is evaluated of the training examples, and that it changes nothing else."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from support.workspaces import make_warm, make_workspace, run

from sftbench.builtin.tasks.image_classification import ImageClassification
from sftbench.engine.training import train
from sftbench.testing import run_tiny


class Incurious(ImageClassification):
    """The task itself, which does not ask for OVERFIT."""

    reasons: ClassVar[frozenset[str]] = ImageClassification.reasons - {"OVERFIT"}


@pytest.mark.parametrize("strategy", ["full", "head-only"])
def test_as_many_training_images_as_are_tested(strategy: str) -> None:
    ws = make_workspace(make_warm(disk=False), strategy, epochs=3)
    found = train(ws)
    seen = found.seen
    assert seen is not None
    # 48 images trained, 32 are tested.
    assert len(seen.index) == len(ws.data.test_indices) == 32
    assert len(np.unique(seen.index)) == 32
    assert set(seen.index) <= set(ws.data.train_indices)
    np.testing.assert_array_equal(seen.targets, ws.data.train.targets[seen.index])
    images = ws.data.train.source.inputs(torch.from_numpy(seen.index), "plain", None)
    with torch.no_grad():
        expected = found.model.eval()(images)
    np.testing.assert_allclose(seen.outputs, expected.numpy(), atol=1e-5)


def test_every_training_image_where_there_are_fewer() -> None:
    ws = make_workspace(make_warm(disk=False), "full", variant="fewshot:3")
    seen = train(ws).seen
    assert seen is not None
    np.testing.assert_array_equal(seen.index, ws.data.train_indices)
    assert len(seen.index) == 12


def test_the_choice_goes_by_the_seed_and_not_by_the_strategy() -> None:
    def chosen(strategy: str, seed: int) -> list[int]:
        seen = train(make_workspace(make_warm(disk=False), strategy, seed=seed)).seen
        assert seen is not None
        return seen.index.tolist()

    assert chosen("full", 0) == chosen("head-only", 0)
    assert chosen("full", 0) != chosen("full", 1)


def test_the_labels_are_those_that_it_was_trained_with() -> None:
    ws = make_workspace(make_warm(disk=False), "full", variant="labelnoise:1.0")
    seen = train(ws).seen
    assert seen is not None
    assert not (seen.targets == ws.data.train.targets[seen.index]).any()


def test_the_record_has_the_primary_metric_alone() -> None:
    warm = make_warm(disk=False)
    record, kept = run(warm, "full", epochs=3)
    assert record.metrics["selected"]["train"].keys() == {"accuracy"}
    assert {split for split, _ in kept} == {"val", "test"}
    # Nobody can say that a loss rose where there is no validation.
    record, _ = run(warm, "full", selection="last", validation_fraction=0.0)
    assert record.metrics["selected"].keys() == {"test"}


@pytest.mark.parametrize("strategy", ["full", "head-only", "lp-ft", "model-soup"])
def test_nothing_that_was_trained_or_tested_is_another(strategy: str) -> None:
    def numbers(*components: type) -> tuple[object, ...]:
        record, kept = run(
            make_warm(*components, deterministic=True, disk=False), strategy, epochs=2
        )
        rows = [row.model_dump(exclude={"seconds"}) for row in record.history]
        outputs = {key: one.outputs.tobytes() for key, one in kept.items()}
        splits = {s: v for s, v in record.metrics["selected"].items() if s != "train"}
        return rows, outputs, record.counts, splits, record.metrics["selected"].keys()

    *with_it, splits = numbers()
    *without, others = numbers(Incurious)
    assert with_it == without
    assert splits - others == {"train"}


def test_what_does_not_ask_is_not_evaluated() -> None:
    record, _ = run_tiny(Incurious)
    assert record.metrics["selected"].keys() == {"val", "test"}
