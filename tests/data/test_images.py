from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode, v2

from sftbench.api import BackboneInfo, BatchContext
from sftbench.data.images import ImageBatches

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def context(size: int = 24, *, flip: bool = True, channels_last: bool = False) -> BatchContext:
    return BatchContext(
        device=torch.device("cpu"),
        image_size=size,
        backbone=BackboneInfo(image_size=224, **IMAGENET),
        augment="flip",
        horizontal_flip=flip,
        channels_last=channels_last,
    )


def images(num: int = 9, height: int = 12, width: int = 12, channels: int = 3) -> np.ndarray:
    generator = np.random.Generator(np.random.PCG64(0))
    return generator.integers(0, 256, (num, height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize(("height", "width"), [(12, 12), (12, 17), (40, 30)])
def test_plain_views_equal_torchvisions(height: int, width: int) -> None:
    pixels = images(height=height, width=width)
    oracle = v2.Compose(
        [
            v2.Resize(24, interpolation=InterpolationMode.BICUBIC, antialias=True),
            v2.CenterCrop(24),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(IMAGENET["mean"]), list(IMAGENET["std"])),
        ]
    )
    found = ImageBatches(pixels, context()).inputs(torch.tensor([2, 5]), "plain", None)
    expected = torch.stack([oracle(torch.from_numpy(pixels[i]).permute(2, 0, 1)) for i in (2, 5)])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_one_channel_becomes_three() -> None:
    source = ImageBatches(images(channels=1), context(12))
    found = source.inputs(torch.tensor([0]), "plain", None)
    grey = found * torch.tensor(IMAGENET["std"]).view(3, 1, 1)
    grey = grey + torch.tensor(IMAGENET["mean"]).view(3, 1, 1)
    assert found.shape == (1, 3, 12, 12)
    torch.testing.assert_close(grey[:, 0], grey[:, 2])


def test_weak_views_flip_half_of_the_images_under_the_generator() -> None:
    source = ImageBatches(images(num=400), context(12))
    indices = torch.arange(400)
    plain = source.inputs(indices, "plain", None)
    weak = source.inputs(indices, "weak", torch.Generator().manual_seed(1))
    again = source.inputs(indices, "weak", torch.Generator().manual_seed(1))
    assert torch.equal(weak, again)
    same = (weak == plain).flatten(1).all(1)
    mirrored = (weak == plain.flip(3)).flatten(1).all(1)
    assert bool((same | mirrored).all())
    assert 160 < int(mirrored.sum()) < 240


def test_weak_views_do_not_flip_where_the_data_does_not_allow_it() -> None:
    source = ImageBatches(images(num=50), context(12, flip=False))
    indices = torch.arange(50)
    weak = source.inputs(indices, "weak", torch.Generator().manual_seed(1))
    assert torch.equal(weak, source.inputs(indices, "plain", None))


def test_strong_views_differ_and_leave_the_global_generator_alone() -> None:
    source = ImageBatches(images(num=20), context(12))
    indices = torch.arange(20)
    before = torch.random.get_rng_state()
    strong = source.inputs(indices, "strong", torch.Generator().manual_seed(1))
    assert torch.equal(before, torch.random.get_rng_state())
    again = source.inputs(indices, "strong", torch.Generator().manual_seed(1))
    assert torch.equal(strong, again)
    weak = source.inputs(indices, "weak", torch.Generator().manual_seed(1))
    assert not torch.equal(strong, weak)


def test_channels_last_is_a_layout_not_a_value() -> None:
    pixels = images()
    indices = torch.tensor([1, 3])
    last = ImageBatches(pixels, context(channels_last=True)).inputs(indices, "plain", None)
    first = ImageBatches(pixels, context()).inputs(indices, "plain", None)
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(last, first)
