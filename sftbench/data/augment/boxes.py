"""Random boxes: what a resized crop takes, and what erasing takes away."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_TRIES = 10
_CROP_AREA = (0.08, 1.0)
_CROP_RATIO = (3 / 4, 4 / 3)
_ERASED_AREA = (0.02, 0.33)
_ERASED_RATIO = (0.3, 3.3)


def draw_crops(
    num: int,
    height: int,
    width: int,
    generator: torch.Generator | None,
    *,
    area: tuple[float, float] = _CROP_AREA,
) -> Tensor:
    """Draw the boxes of torchvision's RandomResizedCrop.

    Share of the area uniform, ratio of width and height log-uniform between 3/4 and 4/3; up to
    ten tries until the box fits, then the largest central box of such a ratio.

    Args:
        num: B.
        height: Of the images.
        width: Of the images.
        generator: A CPU generator.
        area: Least and largest share of the area.

    Returns:
        int64 [B, 4]: top, left, height, width.
    """
    ratios = draw_ratios(num, _CROP_RATIO, generator)
    areas = draw_areas(num, height * width, area, generator)
    heights, widths = sides(areas, 1.0 / ratios)
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    heights, widths, found = first_fit(heights, widths, fits)
    places = torch.rand(2, num, generator=generator, dtype=torch.float64)
    tops = (places[0] * (height - heights + 1)).floor_()
    lefts = (places[1] * (width - widths + 1)).floor_()
    drawn = torch.stack([tops, lefts, heights, widths], dim=1)
    centre = torch.tensor(central_box(height, width), dtype=torch.float64)
    return torch.where(found[:, None], drawn, centre).to(torch.int64)


def central_box(height: int, width: int) -> tuple[int, int, int, int]:
    """Return the largest central box whose ratio of width and height is from 3/4 to 4/3."""
    least, largest = _CROP_RATIO
    tall, wide = height, width
    if width / height < least:
        tall = round(width / least)
    elif width / height > largest:
        wide = round(height * largest)
    return (height - tall) // 2, (width - wide) // 2, tall, wide


def draw_erased(
    num: int, size: int, probability: float, generator: torch.Generator | None
) -> Tensor:
    """Draw the boxes of torchvision's RandomErasing: smaller than the image in both directions.

    Args:
        num: B.
        size: S, of square images.
        probability: Of each image to lose a box.
        generator: A CPU generator.

    Returns:
        int64 [B, 4]: top, left, height, width; height and width 0 where nothing is erased.
    """
    chosen = torch.rand(num, generator=generator) < probability
    ratios = draw_ratios(num, _ERASED_RATIO, generator)
    areas = draw_areas(num, size * size, _ERASED_AREA, generator)
    heights, widths = sides(areas, ratios)
    heights, widths, found = first_fit(heights, widths, (heights < size) & (widths < size))
    places = torch.rand(2, num, generator=generator, dtype=torch.float64)
    tops = (places[0] * (size - heights + 1)).floor_()
    lefts = (places[1] * (size - widths + 1)).floor_()
    drawn = torch.stack([tops, lefts, heights, widths], dim=1)
    return torch.where((found & chosen)[:, None], drawn, 0.0).to(torch.int64)


def draw_ratios(num: int, ratio: tuple[float, float], generator: torch.Generator | None) -> Tensor:
    """Return log-uniform ratios of ten tries, float64 [10, B]."""
    least, largest = math.log(ratio[0]), math.log(ratio[1])
    drawn = torch.rand(_TRIES, num, generator=generator, dtype=torch.float64)
    return (least + (largest - least) * drawn).exp_()


def draw_areas(
    num: int, whole: int, area: tuple[float, float], generator: torch.Generator | None
) -> Tensor:
    """Return uniform areas of ten tries in pixels, float64 [10, B]."""
    drawn = torch.rand(_TRIES, num, generator=generator, dtype=torch.float64)
    return whole * (area[0] + (area[1] - area[0]) * drawn)


def sides(areas: Tensor, ratios: Tensor) -> tuple[Tensor, Tensor]:
    """Return whole heights and widths of areas, with ratios of height and width."""
    return (areas * ratios).sqrt_().round_(), (areas / ratios).sqrt_().round_()


def first_fit(heights: Tensor, widths: Tensor, fits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return height and width of each image's first try that fits, and whether one does."""
    first = fits.to(torch.uint8).argmax(dim=0, keepdim=True)  # the first of equals
    return heights.gather(0, first)[0], widths.gather(0, first)[0], fits.any(dim=0)
