"""What is special about each component."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sftbench_example.backbone import TwoConv, edge_filters
from sftbench_example.dataset import Stripes
from sftbench_example.strategy import TopBlocks

from sftbench.testing import run_tiny


def test_edge_filters_answer_to_their_direction_alone() -> None:
    ramp = torch.arange(5.0).repeat(3, 5, 1)  # brighter to the right
    answers = (edge_filters() * ramp).sum(dim=(1, 2, 3))
    assert int(answers.argmax()) == 0
    torch.testing.assert_close(answers[4], -answers[0])
    torch.testing.assert_close(answers[[2, 6]], torch.zeros(2), atol=1e-4, rtol=0)


def test_stripes_run_in_the_direction_of_their_name() -> None:
    examples = Stripes().load("train", 32)
    images = np.asarray(examples.inputs, dtype=np.float64)[..., 0]
    across_columns = np.abs(np.diff(images, axis=2)).mean(axis=(1, 2))
    across_rows = np.abs(np.diff(images, axis=1)).mean(axis=(1, 2))
    # Rising stripes look the same one step right and one step up, falling ones one step down.
    up = np.abs(images[:, 1:, :-1] - images[:, :-1, 1:]).mean(axis=(1, 2))
    down = np.abs(images[:, :-1, :-1] - images[:, 1:, 1:]).mean(axis=(1, 2))
    least = np.stack([across_columns, up, across_rows, down]).argmin(axis=0)
    assert (least == examples.targets).mean() > 0.95


@pytest.mark.parametrize(("blocks", "frozen", "num_trainable"), [(1, 1, 1236), (9, 0, 1844)])
def test_top_blocks_train_and_the_others_do_not(
    blocks: int, frozen: int, num_trainable: int
) -> None:
    record, _ = run_tiny(TwoConv, Stripes, TopBlocks, settings={"blocks": blocks})
    assert record.status == "ok"
    # 8 x (3 x 25) + 8 parameters in the first block, 16 x (8 x 9) + 16 in the second, 16 x 4 + 4.
    stage = record.stages[0]
    assert (stage.frozen_blocks, stage.trainable) == (frozen, num_trainable)
    assert stage.cached_features is (frozen > 0)


def test_all_three_together_learn() -> None:
    record, _ = run_tiny(TwoConv, Stripes, TopBlocks, epochs=8)
    accuracy = record.value("accuracy")
    assert accuracy is not None
    assert accuracy > 0.8
