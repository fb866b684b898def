"""Torchvision on uint8 is the oracle, on a CPU with AVX2; of the triangle Pillow too."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from sftbench.data.augment.boxes import draw_crops
from sftbench.data.augment.resample import Interpolation, interpolation_matrices, resampled, resized

# The largest difference in levels: an oracle's sums are of integers cut off at other places.
TOLERANCE = 1
MODES = ("bilinear", "bicubic")
SIZES = [(32, 32, 96), (96, 96, 96), (70, 53, 24), (130, 150, 20), (8, 31, 33)]
NATIVE = torch.backends.cpu.get_cpu_capability() in {"AVX2", "AVX512"}


def images(num: int, channels: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height)
    shape = (num, channels, height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


@pytest.mark.skipif(not NATIVE, reason="torchvision resizes uint8 in float32 on this processor")
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_resized_crops_are_torchvisions(
    height: int, width: int, size: int, mode: Interpolation, channels: int
) -> None:
    batch = images(24, channels, height, width)
    generator = torch.Generator().manual_seed(1)
    boxes = draw_crops(24, height, width, generator)
    flips = torch.rand(24, generator=generator) < 0.5
    found = resampled(batch, boxes, size, mode, flips)
    assert found.shape == (24, channels, size, size)
    assert torch.equal(found, found.round())
    for index, box in enumerate(boxes.tolist()):
        expected = tv.resized_crop(
            batch[index], *box, [size, size], InterpolationMode(mode), antialias=True
        )
        if flips[index]:
            expected = tv.horizontal_flip(expected)
        assert (found[index] - expected).abs().max() <= TOLERANCE


@pytest.mark.skipif(not NATIVE, reason="torchvision resizes uint8 in float32 on this processor")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_whole_images_are_torchvisions(
    height: int, width: int, size: int, mode: Interpolation
) -> None:
    batch = images(5, 3, height, width)
    expected = tv.resize(batch, [size, size], InterpolationMode(mode), antialias=True)
    difference = (resized(batch, size, mode) - expected).abs()
    assert difference.max() <= TOLERANCE
    assert (difference > 0).float().mean() < 1e-3


@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_crops_are_pillows(height: int, width: int, size: int) -> None:
    # The triangle never leaves 0 to 255; of the cubic Pillow cuts other values between passes.
    batch = images(12, 3, height, width)
    boxes = draw_crops(12, height, width, torch.Generator().manual_seed(1))
    found = resampled(batch, boxes, size, "bilinear")
    for index, (top, left, tall, wide) in enumerate(boxes.tolist()):
        image = Image.fromarray(batch[index].permute(1, 2, 0).numpy())
        crop = image.crop((left, top, left + wide, top + tall))
        expected = np.array(crop.resize((size, size), Image.Resampling.BILINEAR), dtype=np.float32)
        difference = np.abs(found[index].permute(1, 2, 0).numpy() - expected)
        assert difference.max() <= TOLERANCE


@pytest.mark.parametrize("mode", MODES)
def test_weights_are_whole_and_add_up_to_one(mode: Interpolation) -> None:
    starts, lengths = torch.tensor([0, 3, 9]), torch.tensor([40, 20, 1])
    matrix, unit = interpolation_matrices(40, starts, lengths, 7, mode, device=torch.device("cpu"))
    assert matrix.shape == (3, 7, 40)
    assert torch.equal(matrix, matrix.round())
    torch.testing.assert_close((matrix * unit).sum(2), torch.ones(3, 7), atol=5e-4, rtol=0)
    assert torch.equal(matrix[2].nonzero()[:, 1], torch.full((7,), 9))
    outside = torch.cat([matrix[1, :, :3], matrix[1, :, 23:]], dim=1)
    assert not bool(outside.any())


def test_sums_are_the_same_in_any_order() -> None:
    # What makes an accelerator's result the processor's.
    batch = images(6, 3, 90, 90)
    boxes = draw_crops(6, 90, 90, torch.Generator().manual_seed(2))
    matrix, _ = interpolation_matrices(
        90, boxes[:, 1], boxes[:, 3], 50, "bicubic", device=torch.device("cpu")
    )
    rows = batch.flatten(1, 2).to(torch.float32)
    once = torch.bmm(rows, matrix.transpose(1, 2))
    exact = torch.bmm(rows.double(), matrix.transpose(1, 2).double())
    assert torch.equal(once.double(), exact)
