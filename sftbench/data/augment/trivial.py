"""TrivialAugment in its wide space: one operation an image, of a strength drawn evenly.

Source: Müller and Hutter 2021, arXiv:2103.10158; operations, strengths and their order are those of
torchvision's `v2.TrivialAugmentWide(interpolation=BILINEAR)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from sftbench.data.augment import colour, geometry
from sftbench.data.augment.layout import selected

NUM_BINS = 31


@dataclass(frozen=True, slots=True)
class Operation:
    """One way to change images.

    Attributes:
        apply: Maps uint8 [B, C, H, W] and strengths float64 [B] to uint8 of the same shape.
        strengths: float64 [31], evenly drawn from; None: it has none.
        signed: Whether half of the images get the negative strength.
    """

    apply: Callable[[Tensor, Tensor], Tensor]
    strengths: Tensor | None = None
    signed: bool = False


def _to(last: float) -> Tensor:
    return torch.linspace(0.0, last, NUM_BINS).to(torch.float64)


def _shift_x(batch: Tensor, amounts: Tensor) -> Tensor:
    right = amounts.trunc().to(torch.int64)
    return geometry.shifted(batch, torch.zeros_like(right), right)


def _shift_y(batch: Tensor, amounts: Tensor) -> Tensor:
    down = amounts.trunc().to(torch.int64)
    return geometry.shifted(batch, down, torch.zeros_like(down))


_BITS = (8 - torch.arange(NUM_BINS) / ((NUM_BINS - 1) / 6)).round().to(torch.float64)
_THRESHOLDS = 255.0 * torch.linspace(1.0, 0.0, NUM_BINS).to(torch.float64)

OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        "identity": Operation(lambda batch, _: batch),
        "shear-x": Operation(geometry.sheared_x, _to(0.99), signed=True),
        "shear-y": Operation(geometry.sheared_y, _to(0.99), signed=True),
        "translate-x": Operation(_shift_x, _to(32.0), signed=True),
        "translate-y": Operation(_shift_y, _to(32.0), signed=True),
        "rotate": Operation(geometry.rotated, _to(135.0), signed=True),
        "brightness": Operation(lambda b, s: colour.brightened(b, 1.0 + s), _to(0.99), signed=True),
        "colour": Operation(lambda b, s: colour.saturated(b, 1.0 + s), _to(0.99), signed=True),
        "contrast": Operation(lambda b, s: colour.contrasted(b, 1.0 + s), _to(0.99), signed=True),
        "sharpness": Operation(lambda b, s: colour.sharpened(b, 1.0 + s), _to(0.99), signed=True),
        "posterize": Operation(lambda b, s: colour.posterized(b, s.to(torch.int64)), _BITS),
        "solarize": Operation(lambda b, s: colour.solarized(b, s.to(torch.float32)), _THRESHOLDS),
        "auto-contrast": Operation(lambda batch, _: colour.contrast_stretched(batch)),
        "equalize": Operation(lambda batch, _: colour.equalized(batch)),
    }
)


def trivially_augmented(batch: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw an operation and a strength for each image of uint8 [B, C, H, W], and apply them.

    Every image takes the same number of draws, whatever its operation.
    """
    num = len(batch)
    chosen = torch.randint(len(OPERATIONS), (num,), generator=generator)
    bins = torch.randint(NUM_BINS, (num,), generator=generator)
    negative = torch.rand(num, generator=generator) <= 0.5
    signs = torch.where(negative, -1.0, 1.0).to(torch.float64)
    order = torch.argsort(chosen, stable=True)
    counts = torch.bincount(chosen, minlength=len(OPERATIONS)).tolist()
    parts = []
    for operation, members in zip(OPERATIONS.values(), torch.split(order, counts), strict=True):
        if len(members):
            part = selected(batch, members.to(batch.device))
            parts.append(operation.apply(part, _strengths(operation, bins, signs, members)))
    whole = torch.cat([part.contiguous() for part in parts])
    return selected(whole, torch.argsort(order).to(batch.device))


def _strengths(operation: Operation, bins: Tensor, signs: Tensor, members: Tensor) -> Tensor:
    if operation.strengths is None:
        return torch.zeros(len(members), dtype=torch.float64)
    strengths = operation.strengths[bins[members]]
    return strengths * signs[members] if operation.signed else strengths
