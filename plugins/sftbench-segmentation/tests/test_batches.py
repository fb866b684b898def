"""Images and masks move together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sftbench_segmentation.batches import MaskBatches
from torch import Tensor

from sftbench.api import BackboneInfo, BatchContext

SIZE = 32


def batches(
    augment: str = "flip", *, size: int = SIZE, shape: tuple[int, int] = (32, 32)
) -> MaskBatches:
    """Return images whose brightness is 40 times their mask, so that each shows the other."""
    generator = np.random.default_rng(0)
    masks = generator.integers(1, 5, (6, *shape)).astype(np.uint8)
    images = np.repeat(40 * masks[..., None], 3, axis=3)
    ctx = BatchContext(
        device=torch.device("cpu"),
        image_size=size,
        backbone=BackboneInfo(image_size=size, interpolation="bilinear"),
        augment=augment,
        horizontal_flip=True,
        channels_last=False,
    )
    return MaskBatches(images, masks, ctx)


def shown(images: Tensor) -> Tensor:
    """Return the masks that images show; black is ignored."""
    found = (images[:, 0] * 255 / 40).round().long()
    return torch.where(found == 0, 255, found)


ALL = torch.arange(6)


@pytest.mark.parametrize("augment", ["none", "flip", "crop"])
def test_what_moves_in_an_image_moves_in_its_mask(augment: str) -> None:
    source = batches(augment)
    generator = torch.Generator().manual_seed(3)
    images, masks = source.batch(ALL, ALL, "weak", generator)
    assert masks.dtype == torch.int64
    assert torch.equal(shown(images), masks)
    moved = not torch.equal(masks, source.targets(ALL, ALL))
    assert moved is (augment != "none")


def test_a_crop_ignores_what_it_adds() -> None:
    _, masks = batches("crop").batch(ALL, ALL, "weak", torch.Generator().manual_seed(3))
    assert (masks == 255).any()


def test_flips_mirror_some_images_and_leave_the_others() -> None:
    source = batches()
    plain = source.targets(ALL, ALL)
    _, masks = source.batch(ALL, ALL, "weak", torch.Generator().manual_seed(0))
    kinds = {
        "same" if torch.equal(new, old) else "mirrored" if torch.equal(new, old.flip(-1)) else "?"
        for new, old in zip(masks, plain, strict=True)
    }
    assert kinds == {"same", "mirrored"}


def test_a_plain_view_is_the_image_and_its_mask() -> None:
    source = batches("crop")
    images, masks = source.batch(ALL[:2], ALL[:2], "plain", None)
    assert torch.equal(shown(images), masks)
    assert torch.equal(source.inputs(ALL[:2], "plain", None), images)
    assert torch.equal(source.targets(ALL[:2], ALL[:2]), masks)


@pytest.mark.parametrize("shape", [(32, 48), (48, 32), (64, 64), (16, 16)])
def test_masks_of_another_size_are_resized_and_cropped_as_images_are(
    shape: tuple[int, int],
) -> None:
    blocks = np.zeros((1, *shape), dtype=np.uint8)
    blocks[0, : shape[0] // 2] += 2
    blocks[0, :, : shape[1] // 2] += 1
    images = np.repeat(40 * blocks[..., None] + 40, 3, axis=3)
    ctx = BatchContext(
        device=torch.device("cpu"),
        image_size=SIZE,
        backbone=BackboneInfo(image_size=SIZE, interpolation="bilinear"),
        augment="none",
        horizontal_flip=False,
        channels_last=False,
    )
    source = MaskBatches(images.astype(np.uint8), blocks, ctx)
    seen, masks = source.batch(ALL[:1], ALL[:1], "plain", None)
    agree = shown(seen) - 1 == masks
    # The images are antialiased, so a pixel on a border may be of neither class.
    assert agree.float().mean() > 0.9
    assert agree[:, :14, :14].all()
    assert agree[:, 18:, 18:].all()
