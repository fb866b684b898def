"""Images on an accelerator: the draws of a processor, and the same bits however they came there."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from sftbench.api import BackboneInfo, BatchContext
from sftbench.data.augment.trivial import OPERATIONS
from sftbench.data.images import ImageBatches
from sftbench.protocol import Augment

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]
BATCHES = [torch.tensor(rows) for rows in ([3], [1, 8, 3], list(range(40)), [5, 0, 4, 6])]


def context(device: str, augment: str, placement: str, size: int) -> BatchContext:
    return BatchContext(
        device=torch.device(device),
        image_size=size,
        backbone=BackboneInfo(image_size=224, mean=(0.5,) * 3, std=(0.5,) * 3),
        augment=augment,
        horizontal_flip=True,
        channels_last=True,
        erasing=0.5,
        placement=placement,  # type: ignore[arg-type]
    )


def seen(source: ImageBatches) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    source.announce(BATCHES)
    found = [source.inputs(batch, "weak", generator).cpu() for batch in BATCHES]
    source.announce(())
    return found


@pytest.mark.parametrize("processes", [0, 1])
@pytest.mark.parametrize("augment", get_args(Augment))
def test_streamed_and_resident_images_are_the_same_bits(
    augment: str, processes: int, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 20, 28, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    resident = ImageBatches(mapped, context("cuda", augment, "device", 32))
    streamed = ImageBatches(mapped, context("cuda", augment, "stream", 32), processes=processes)
    for one, other in zip(seen(resident), seen(streamed), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("augment", get_args(Augment))
def test_an_accelerator_sees_the_draws_of_a_processor(augment: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    here, there = (
        seen(ImageBatches(pixels, context(device, augment, "device", 32)))
        for device in ("cpu", "cuda")
    )
    for one, other in zip(here, there, strict=True):
        difference = (one - other).abs() * 127.5  # in levels
        assert difference.max() < 1.01
        assert (difference > 0.01).float().mean() < 1e-3


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_run_where_only_the_same_bits_are_allowed(name: str) -> None:
    operation = OPERATIONS[name]
    batch = torch.randint(0, 256, (31, 3, 24, 24), dtype=torch.uint8)
    strengths = torch.zeros(31, dtype=torch.float64)
    if operation.strengths is not None:
        strengths = operation.strengths
    torch.use_deterministic_algorithms(True)
    found = operation.apply(batch.cuda(), strengths).cpu()
    difference = (found.int() - operation.apply(batch, strengths).int()).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 1e-3
