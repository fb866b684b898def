"""Scenes composed of real items: several on a cluttered ground, with exact boxes and masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_CLUTTER = 12  # pieces of items of no class, on each ground
_LARGEST_OVERLAP = 0.3  # share of an item that those above it may hide


@dataclass(frozen=True, slots=True)
class Scene:
    """One composed image.

    Attributes:
        image: uint8 [S, S, 3].
        boxes: float32 [n, 4], x0, y0, x1, y1 in pixels: the smallest that hold what is seen of
            each item, x1 and y1 behind its last pixel.
        labels: int64 [n], class of each item.
        items: int64 [n], which item it is.
        mask: uint8 [S, S], 0 for the ground, else 1 + the place in `labels` of what is seen there.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    items: NDArray[np.int64]
    mask: NDArray[np.uint8]


def compose_scenes(
    items: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    num: int,
    size: int,
    seed: int,
    most_items: int = 4,
    scales: tuple[float, float] = (1.0, 2.0),
) -> list[Scene]:
    """Compose scenes of grey items on black, tinted, scaled, and set on clutter.

    Every item's share in the scenes is as in `labels`; each scene has 1 to `most_items` of them,
    fewer where they would hide each other. What is a piece of the ground comes from the same
    items, torn and mixed, so that texture alone gives no class away.

    Args:
        items: uint8 [M, h, w], 0 where an item is not.
        labels: int64 [M].
        num: Scenes.
        size: Pixels of their sides; items of the largest scale must fit.
        seed: The same seed gives the same scenes, with any version of NumPy that keeps the
            streams of PCG64.
        most_items: In one scene.
        scales: Least and largest factor of an item's size.

    Raises:
        ValueError: Items are larger than the scenes.
    """
    largest = max(items.shape[1:]) * scales[1]
    if largest > size:
        raise ValueError(f"items of up to {largest:g} pixels do not fit scenes of {size} pixels")
    rng = np.random.default_rng(seed)
    return [_scene(items, labels, size, most_items, scales, rng) for _ in range(num)]


def _scene(
    items: NDArray[np.uint8],
    labels: NDArray[np.int64],
    size: int,
    most_items: int,
    scales: tuple[float, float],
    rng: np.random.Generator,
) -> Scene:
    canvas = _ground(items, size, rng)
    mask = np.zeros((size, size), dtype=np.uint8)
    wanted = int(rng.integers(1, most_items + 1))
    chosen: list[int] = []
    areas: list[int] = []
    for number in rng.choice(len(items), size=wanted, replace=False):
        scale = rng.uniform(*scales)
        grey = _scaled(items[number], scale)
        height, width = grey.shape
        top = int(rng.integers(0, size - height + 1))
        left = int(rng.integers(0, size - width + 1))
        tint = rng.uniform(0.45, 1.0, size=3)
        shape = grey > 16
        window = (slice(top, top + height), slice(left, left + width))
        if not shape.any() or _hides(mask[window], shape, areas):
            continue
        canvas[window][shape] = (grey[shape, None] * tint).astype(np.uint8)
        chosen.append(int(number))
        areas.append(int(shape.sum()))
        mask[window][shape] = len(chosen)
    boxes = np.array([_box(mask == place) for place in range(1, len(chosen) + 1)], np.float32)
    picked = np.array(chosen, dtype=np.int64)
    return Scene(canvas, boxes, labels[picked].astype(np.int64), picked, mask)


def _ground(items: NDArray[np.uint8], size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a ground uint8 [S, S, 3]: a shaded colour, noise, and torn pieces of items."""
    corners = rng.uniform(20, 150, size=(2, 2, 3)).astype(np.float32)
    ramp = np.linspace(0.0, 1.0, size, dtype=np.float32)
    rows = corners[0][None] * (1 - ramp)[:, None, None] + corners[1][None] * ramp[:, None, None]
    shade = rows[:, :1] * (1 - ramp)[None, :, None] + rows[:, 1:] * ramp[None, :, None]
    noisy = np.clip(shade + rng.normal(0.0, 12.0, size=(size, size, 3)), 0, 255)
    canvas: NDArray[np.uint8] = noisy.astype(np.uint8)
    for number in rng.integers(0, len(items), size=_CLUTTER):
        piece = items[number]
        height, width = (int(rng.integers(side // 4, side // 2 + 1)) for side in piece.shape)
        y, x = (
            int(rng.integers(0, s - c + 1))
            for s, c in zip(piece.shape, (height, width), strict=True)
        )
        torn = piece[y : y + height, x : x + width]
        top, left = (int(rng.integers(0, size - side + 1)) for side in torn.shape)
        tint = rng.uniform(0.3, 1.0, size=3)
        window = canvas[top : top + height, left : left + width]
        window[torn > 16] = (torn[torn > 16, None] * tint).astype(np.uint8)
    return canvas


def _scaled(item: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    height, width = (max(1, round(side * scale)) for side in item.shape)
    image: Any = Image.fromarray(item).resize((width, height), Image.Resampling.BILINEAR)
    scaled: NDArray[np.uint8] = np.asarray(image, dtype=np.uint8)
    return scaled


def _hides(window: NDArray[np.uint8], shape: NDArray[np.bool_], areas: list[int]) -> bool:
    """Tell whether an item would hide too much of one below it."""
    covered = np.bincount(window[shape], minlength=len(areas) + 1)[1:]
    return any(count > _LARGEST_OVERLAP * area for count, area in zip(covered, areas, strict=True))


def _box(seen: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return x0, y0, x1, y1 of what is seen, [S, S]."""
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
