"""The loss, and what is kept of logits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sftbench_segmentation.confusion import matrices, mean_loss
from sftbench_segmentation.outputs import kept, pixel_loss
from torch.nn import functional as F

from sftbench.api import Predictions

CountPixels = Callable[[NDArray[np.int64], NDArray[np.int64], int], Predictions]


def made(num_classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(4, num_classes, 5, 6, generator=generator)
    masks = torch.randint(0, num_classes, (4, 5, 6), generator=generator)
    masks[torch.rand(masks.shape, generator=generator) < 0.2] = 255
    return logits, masks


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_mean_over_pixels_with_a_class(smoothing: float) -> None:
    logits, masks = made()
    known = masks != 255
    chosen = logits.movedim(1, -1)[known]
    wanted = F.cross_entropy(chosen, masks[known], label_smoothing=smoothing)
    torch.testing.assert_close(pixel_loss(logits, masks, smoothing), wanted)


def test_a_batch_without_a_known_pixel_has_loss_zero_and_a_gradient() -> None:
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = pixel_loss(logits, torch.full((1, 2, 2), 255))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_kept_counts_pixels_by_image_truth_and_prediction(count_pixels: CountPixels) -> None:
    logits, masks = made()
    rows = kept(logits, masks)
    assert rows.dtype == torch.float32
    wanted = count_pixels(masks.numpy(), logits.argmax(1).numpy(), 3).outputs
    np.testing.assert_array_equal(rows[:, :-1].numpy(), wanted[:, :-1])


def test_the_mean_loss_of_what_is_kept_is_the_loss() -> None:
    logits, masks = made()
    rows = kept(logits, masks).numpy()
    predictions = Predictions(np.arange(4), np.zeros(4, dtype=np.int64), rows)
    assert mean_loss(predictions) == pytest.approx(float(pixel_loss(logits, masks)), rel=1e-6)


def test_counts_of_the_largest_image_are_exact() -> None:
    side = 4096
    row = torch.tensor([float(side * side - 1), 1.0]).numpy()
    assert row.sum(dtype=np.float64) == side * side
    rows = np.array([[side * side - 1, 1, 0, 0, 0.0]], dtype=np.float32)
    predictions = Predictions(np.arange(1), np.zeros(1, dtype=np.int64), rows)
    assert matrices(predictions).sum() == side * side
