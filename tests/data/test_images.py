from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import psutil
import pytest
import torch
from support.executing import gone
from torchvision.transforms import InterpolationMode, v2

from sftbench.api import BackboneInfo, BatchContext
from sftbench.data import placement
from sftbench.data.images import ImageBatches
from sftbench.protocol import Augment

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def context(
    size: int = 24, *, flip: bool = True, channels_last: bool = False, **more: Any
) -> BatchContext:
    return BatchContext(
        device=torch.device("cpu"),
        image_size=size,
        backbone=BackboneInfo(image_size=224, **IMAGENET),
        horizontal_flip=flip,
        channels_last=channels_last,
        **{"augment": "flip", **more},
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


BATCHES = [torch.tensor(rows) for rows in ([3], [1, 8, 3], [2, 2], [5, 0, 4, 6])]


def views(source: ImageBatches, *, end: bool = True) -> Iterator[torch.Tensor]:
    """Yield what a stage sees of an announced plan, with a look at other images in between."""
    generator = torch.Generator().manual_seed(1)
    source.announce(BATCHES)
    for batch in BATCHES:
        yield source.inputs(batch, "weak", generator)
        yield source.inputs(torch.tensor([7, 1]), "plain", None)
        yield source.inputs(torch.tensor([2, 4]), "strong", generator)
    if end:
        source.announce(())


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("shape", [(12, 12, 3), (40, 30, 3), (24, 24, 1)])
@pytest.mark.parametrize("augment", get_args(Augment))
def test_streamed_and_resident_images_are_the_same_bits(
    augment: str, shape: tuple[int, int, int], channels_last: bool, tmp_path: Path
) -> None:
    np.save(tmp_path / "images.npy", images(9, *shape))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    more: dict[str, Any] = {"augment": augment, "erasing": 0.5, "channels_last": channels_last}
    resident = ImageBatches(images(9, *shape), context(placement="device", **more))
    assert resident.placement == "device"
    expected = list(views(resident))
    for given in (mapped, images(9, *shape)):
        streamed = ImageBatches(given, context(placement="stream", **more), processes=0)
        assert streamed.placement == "stream"
        for found, wanted in zip(views(streamed), expected, strict=True):
            assert torch.equal(found, wanted)
            assert found.stride() == wanted.stride()


def test_processes_that_read_give_the_same_bits_and_end(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", images())
    more: dict[str, Any] = {"augment": "trivial", "erasing": 0.5}
    expected = list(views(ImageBatches(images(), context(placement="device", **more))))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    streamed = ImageBatches(mapped, context(placement="stream", **more), processes=1)
    children = set(psutil.Process().children(recursive=True))
    for found, wanted in zip(views(streamed, end=False), expected, strict=True):
        assert torch.equal(found, wanted)
    started = set(psutil.Process().children(recursive=True)) - children
    readers = [child.pid for child in started if "spawn_main" in " ".join(child.cmdline())]
    assert len(readers) == 1
    del streamed
    assert gone(readers[0])


def test_what_does_not_fit_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "HOST_BYTES", 9 * 3 * 24 * 24)
    assert ImageBatches(images(9), context()).placement == "device"
    assert ImageBatches(images(10), context()).placement == "stream"
    assert ImageBatches(images(10), context(limit=9)).placement == "device"
    # In memory as they are to be seen, they need no room.
    assert ImageBatches(images(10, 24, 24), context()).placement == "device"


def test_of_what_is_read_from_a_file_the_whole_image_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "images.npy", images(10, 40, 40))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    monkeypatch.setattr(placement, "HOST_BYTES", 10 * 3 * 24 * 24)
    assert ImageBatches(mapped, context()).placement == "device"
    assert ImageBatches(mapped, context(augment="resized-crop")).placement == "stream"
    assert ImageBatches(mapped, context(40)).placement == "stream"


def test_images_that_shall_be_on_the_device_and_do_not_fit_end_as_out_of_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(placement, "free_bytes", lambda _device: 1000)
    with pytest.raises(MemoryError, match="use --placement auto or stream"):
        ImageBatches(images(), context(placement="device"))


def test_a_resized_crop_is_of_the_image_as_it_was_read() -> None:
    # Black above, white below; the central square has as much of both, 10 rows each.
    pixels = np.zeros((1, 40, 20, 3), dtype=np.uint8)
    pixels[:, 20:] = 255
    source = ImageBatches(pixels, context(16, augment="resized-crop"))
    generator = torch.Generator().manual_seed(0)
    seen = source.inputs(torch.zeros(50, dtype=torch.int64), "weak", generator)
    white = (seen[:, 0].mean(dim=2) > 1.0).float().mean(1)
    assert bool((white == 0).any())
    assert bool((white == 1).any())


def test_erasing_comes_after_normalising() -> None:
    source = ImageBatches(images(), context(12, erasing=1.0))
    found = source.inputs(torch.arange(9), "weak", torch.Generator().manual_seed(2))
    lost = (found == 0).all(1)
    assert bool(lost.flatten(1).any(1).sum() >= 8)
    plain = source.inputs(torch.arange(9), "plain", None)
    assert not bool((plain == 0).all(1).any())
