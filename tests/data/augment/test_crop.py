from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as tv

from sftbench.data.augment.crop import cropped, draw_flips, draw_offsets, flipped

FORMATS = [torch.contiguous_format, torch.channels_last]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*(st.integers(1, high) for high in (5, 3, 9, 9))),
    padding=st.integers(0, 5),
    layout=st.sampled_from(FORMATS),
    flips=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_crops_are_torchvisions_bit_for_bit(
    shape: tuple[int, int, int, int],
    padding: int,
    layout: torch.memory_format,
    flips: bool,
    seed: int,
) -> None:
    num, _, height, width = shape
    batch = torch.randint(1, 256, shape, dtype=torch.uint8, generator=generator(seed))
    batch = batch.contiguous(memory_format=layout)
    offsets = draw_offsets(num, padding, generator(seed))
    mirrored = draw_flips(num, generator(seed)) if flips else None
    found = cropped(batch, offsets, padding, mirrored)
    for index, image in enumerate(batch):
        top, left = offsets[:, index].tolist()
        expected = tv.crop(tv.pad(image, [padding]), top, left, height, width)
        if mirrored is not None and mirrored[index]:
            expected = tv.horizontal_flip(expected)
        assert torch.equal(found[index], expected)


@pytest.mark.parametrize("layout", FORMATS)
def test_flips_are_torchvisions_bit_for_bit(layout: torch.memory_format) -> None:
    batch = torch.rand(9, 3, 5, 7).contiguous(memory_format=layout)
    before = batch.clone()
    for chosen in (draw_flips(9, generator(1)), torch.zeros(9).bool(), torch.ones(9).bool()):
        found = flipped(batch, chosen)
        for index in range(9):
            image = batch[index]
            expected = tv.horizontal_flip(image) if chosen[index] else image
            assert torch.equal(found[index], expected)
    assert torch.equal(batch, before)


def test_offsets_and_flips_are_even() -> None:
    offsets = draw_offsets(18_000, 4, generator(0))
    for side in offsets:
        counts = torch.bincount(side, minlength=9)
        assert len(counts) == 9
        assert int(counts.min()) > 1850
        assert int(counts.max()) < 2150
    assert 8700 < int(draw_flips(18_000, generator(0)).sum()) < 9300
