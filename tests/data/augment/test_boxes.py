"""Where draws have no oracle bit for bit, torchvision's own draws are compared as distributions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torchvision.transforms import v2

from sftbench.data.augment.boxes import central_box, draw_crops, draw_erased

NUM = 4000
# Under equal distributions one comparison in ten thousand is below; seeds are fixed.
ALPHA = 1e-4


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def of_torchvision(transform: v2.Transform, image: torch.Tensor, keys: str) -> torch.Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        drawn = [transform.make_params([image]) for _ in range(NUM)]
    return torch.tensor([[params[key] for key in keys.split()] for params in drawn])


@pytest.mark.parametrize(("height", "width"), [(96, 96), (40, 100)])
def test_crops_have_torchvisions_distribution(height: int, width: int) -> None:
    image = torch.zeros(3, height, width)
    expected = of_torchvision(v2.RandomResizedCrop(8), image, "top left height width")
    found = draw_crops(NUM, height, width, generator(0))
    for column in range(4):
        p = stats.ks_2samp(found[:, column].numpy(), expected[:, column].numpy()).pvalue
        assert p > ALPHA, column
    both = [(boxes[:, 2] * boxes[:, 3]).numpy() for boxes in (found, expected)]
    assert stats.ks_2samp(*both).pvalue > ALPHA


@settings(max_examples=80, deadline=None)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    seed=st.integers(0, 2**31),
    area=st.sampled_from([(0.08, 1.0), (0.2, 1.0), (1.0, 1.0)]),
)
def test_crops_lie_in_the_image(
    height: int, width: int, seed: int, area: tuple[float, float]
) -> None:
    boxes = draw_crops(16, height, width, generator(seed), area=area)
    tops, lefts, heights, widths = boxes.unbind(1)
    for starts, lengths, side in ((tops, heights, height), (lefts, widths, width)):
        assert bool((starts >= 0).all())
        assert bool((lengths >= 1).all())
        assert bool((starts + lengths <= side).all())


@pytest.mark.parametrize(("height", "width"), [(30, 30), (10, 100), (100, 10), (31, 33)])
def test_where_no_try_fits_it_is_torchvisions_central_box(height: int, width: int) -> None:
    crop = v2.RandomResizedCrop(8, scale=(4.0, 4.0))  # larger than the image: none can fit
    params = crop.make_params([torch.zeros(3, height, width)])
    expected = [params[key] for key in ("top", "left", "height", "width")]
    assert list(central_box(height, width)) == expected
    found = draw_crops(3, height, width, generator(0), area=(4.0, 4.0))
    assert found.tolist() == [expected] * 3


def test_erased_boxes_have_torchvisions_distribution() -> None:
    expected = of_torchvision(v2.RandomErasing(p=1.0), torch.zeros(3, 48, 48), "i j h w")
    found = draw_erased(NUM, 48, 1.0, generator(0))
    for column in range(4):
        p = stats.ks_2samp(found[:, column].numpy(), expected[:, column].numpy()).pvalue
        assert p > ALPHA, column


@settings(max_examples=50, deadline=None)
@given(size=st.integers(8, 200), seed=st.integers(0, 2**31))
def test_erased_boxes_lie_in_the_image(size: int, seed: int) -> None:
    boxes = draw_erased(16, size, 1.0, generator(seed))
    tops, lefts, heights, widths = boxes.unbind(1)
    assert bool((boxes >= 0).all())
    assert bool((heights < size).all())
    assert bool((widths < size).all())
    assert bool((tops + heights <= size).all())
    assert bool((lefts + widths <= size).all())


def test_as_many_images_are_erased_as_asked_for() -> None:
    for probability in (0.0, 0.25, 1.0):
        boxes = draw_erased(NUM, 32, probability, generator(3))
        share = float((boxes[:, 2] > 0).float().mean())
        assert share == pytest.approx(probability, abs=0.03)
