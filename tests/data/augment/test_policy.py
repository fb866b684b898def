from __future__ import annotations

from typing import get_args

import pytest
import torch
from torchvision.transforms import v2

from sftbench.data.augment.policy import Augmentation
from sftbench.data.augment.trivial import trivially_augmented
from sftbench.protocol import Augment


def augmentation(
    name: str, *, size: int = 16, flip: bool = True, erasing: float = 0.0
) -> Augmentation:
    return Augmentation(name=name, size=size, flip=flip, interpolation="bilinear", erasing=erasing)


def images(num: int = 300, size: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(1, 256, (num, 3, size, size), dtype=torch.uint8, generator=generator)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def mirrored(found: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (found == other.flip(3)).flatten(1).all(1)


@pytest.mark.parametrize("name", get_args(Augment))
@pytest.mark.parametrize("view", ["weak", "strong"])
def test_every_name_of_the_protocol_gives_squares_under_the_generator(name: str, view: str) -> None:
    size = 24 if name == "resized-crop" else 16
    how = augmentation(name, size=size)
    first, again = (how.pixels(images(), view, generator()) for _ in range(2))  # type: ignore[arg-type]
    assert first.shape == (300, 3, size, size)
    assert torch.equal(first, again)
    changed = name != "none" or view == "strong"
    assert changed is not (first.shape == images().shape and torch.equal(first, images()))


def test_none_changes_nothing_and_draws_nothing() -> None:
    used = generator()
    assert torch.equal(augmentation("none").pixels(images(), "weak", used), images())
    assert torch.equal(used.get_state(), generator().get_state())


@pytest.mark.parametrize("name", get_args(Augment))
def test_nothing_is_mirrored_where_labels_would_change(name: str) -> None:
    ramp = torch.arange(0, 256, 8, dtype=torch.uint8).expand(200, 3, 32, 32).contiguous()
    how = augmentation(name, size=32, flip=False)
    weak = how.pixels(ramp, "weak", generator()).float()
    if name == "trivial":  # operations turn images too; the crop before them is looked at
        weak = augmentation("crop", size=32, flip=False).pixels(ramp, "weak", generator()).float()
    inner = weak[:, :, 8:24, 8:24]
    assert bool((inner.diff(dim=3) >= 0).all())
    flips = augmentation(name, size=32).pixels(ramp, "weak", generator()).float()
    assert bool((flips[:, :, 8:24, 8:24].diff(dim=3) < 0).any()) is (name != "none")


def test_a_crop_is_padded_by_an_eighth() -> None:
    how = augmentation("crop", flip=False)
    batch = images()
    found = how.pixels(batch, "weak", generator())
    offsets = torch.randint(0, 5, (2, 300), generator=generator())
    for index in range(300):
        top, left = offsets[:, index].tolist()
        crop = v2.functional.pad(batch[index], [2])[:, top : top + 16, left : left + 16]
        assert torch.equal(found[index], crop)


def test_trivial_is_a_crop_and_an_operation_and_strong_adds_one() -> None:
    used = generator()
    crop = augmentation("crop").pixels(images(), "weak", used)
    one = trivially_augmented(crop, used)
    two = trivially_augmented(one, used)
    assert torch.equal(augmentation("trivial").pixels(images(), "weak", generator()), one)
    assert torch.equal(augmentation("crop").pixels(images(), "strong", generator()), one)
    assert torch.equal(augmentation("trivial").pixels(images(), "strong", generator()), two)


def test_only_a_resized_crop_takes_whole_images() -> None:
    takers = [name for name in get_args(Augment) if augmentation(name).takes_whole_images]
    assert takers == ["resized-crop"]


def test_erasing_draws_nothing_where_nobody_asked() -> None:
    inputs = images().float()
    used = generator()
    assert torch.equal(augmentation("flip").erased_(inputs.clone(), used), inputs)
    assert torch.equal(used.get_state(), generator().get_state())
    found = augmentation("flip", erasing=0.5).erased_(inputs.clone(), used)
    lost = (found == 0).flatten(1).any(1)
    assert 100 < int(lost.sum()) < 200
    assert torch.equal(found[~lost], inputs[~lost])
