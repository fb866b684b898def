"""Heads: what stands between a body's maps and boxes.

A torchvision detector holds a backbone and prepares its images. Here both are done before it, so it
gets stand-ins for them, and runs as it is: anchors, matching, losses and post-processing are its
own. The truth reaches it in the loss, so a head's forward gives `Outputs`, which wait for it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from sftbench.api import Level, unpacked
from sftbench_detection.batches import Truth


class Head(nn.Module):
    """A neck and a detector; maps packed features [B, L] to `Outputs`.

    Args:
        levels: Form of the maps.
        neck: Maps of the levels to maps of the detector, by name.
        detector: Of torchvision, with `Given` for its backbone and `Prepared` for its transform.
        size: Pixels of the images' sides.
        background: Whether the detector's class 0 is the background.
    """

    def __init__(
        self,
        levels: Sequence[Level],
        neck: nn.Module,
        detector: nn.Module,
        size: int,
        *,
        background: bool,
    ) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.neck = neck
        self.detector = detector
        self.size = size
        self.background = background

    def forward(self, features: Tensor) -> Outputs:
        """Run the neck."""
        maps = OrderedDict(
            (str(place), each) for place, each in enumerate(unpacked(features, self.levels))
        )
        return Outputs(self, self.neck(maps))


@dataclass(slots=True)
class Outputs:
    """Maps of the neck, and the head that they are of.

    Attributes:
        head: Runs the detector.
        maps: [B, W, h, w] by name, the finest first.
    """

    head: Head
    maps: Mapping[str, Tensor]

    def loss(self, truth: Truth) -> Tensor:
        """Return the sum of the detector's losses, whatever mode the head is in."""
        losses = self._run(truth, training=True)
        return torch.stack([each.float() for each in losses.values()]).sum()

    def detections(self) -> list[dict[str, Tensor]]:
        """Return boxes, scores and labels of each image."""
        found: list[dict[str, Tensor]] = self._run(None, training=False)
        if self.head.background:
            for one in found:
                one["labels"] = one["labels"] - 1
        return found

    def _run(self, truth: Truth | None, *, training: bool) -> Any:
        """Run the detector in float32: anchors in bfloat16 would miss their places."""
        first = next(iter(self.maps.values()))
        detector: Any = self.head.detector
        canvas = _canvas(first, self.head.size)
        targets = None if truth is None else _targets(truth, background=self.head.background)
        with torch.autocast(first.device.type, enabled=False), _mode(detector, training=training):
            detector.backbone.maps = OrderedDict(
                (name, each.float()) for name, each in self.maps.items()
            )
            try:
                return detector([canvas] * len(first), targets)
            finally:
                detector.backbone.maps = None


class Given(nn.Module):
    """Stands for a detector's backbone: returns the maps that were made before it.

    Attributes:
        out_channels: Of each map, or of all.
        maps: By name; None while no detector runs.
    """

    def __init__(self, out_channels: int | list[int]) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.maps: OrderedDict[str, Tensor] | None = None

    def forward(self, _images: Tensor) -> OrderedDict[str, Tensor]:
        """Return the maps."""
        if self.maps is None:
            raise RuntimeError("a detector runs by way of its head's outputs")
        return self.maps


class Prepared(nn.Module):
    """Stands for a detector's transform: images and boxes are as they should be already."""

    def forward(self, images: list[Tensor], targets: Any = None) -> tuple[ImageList, Any]:
        """Return the images as a list of one size."""
        height, width = images[0].shape[-2:]
        batch = images[0].expand(len(images), 3, height, width)
        return ImageList(batch, [(height, width)] * len(images)), targets

    def postprocess(self, found: Any, _sizes: object, _originals: object) -> Any:
        """Return detections as they are."""
        return found


def _canvas(like: Tensor, size: int) -> Tensor:
    """Return what only tells a detector the images' size, [3, S, S] over one number."""
    return like.new_zeros(1, dtype=torch.float32).expand(3, size, size)


def _targets(truth: Truth, *, background: bool) -> list[dict[str, Tensor]]:
    """Return boxes and labels in torchvision's form; crowds are not trained on."""
    found = []
    for image in range(len(truth.rows)):
        objects = truth.objects(image)
        objects = objects[objects[:, 6] == 0]
        corner = objects[:, 1:3]
        found.append(
            {
                "boxes": torch.cat([corner, corner + objects[:, 3:5]], dim=1),
                "labels": objects[:, 0].long() + int(background),
            }
        )
    return found


@contextmanager
def _mode(detector: Any, *, training: bool) -> Iterator[None]:
    """Let torchvision's containers give losses or detections; their layers stay as they are."""
    parts = [detector, *(getattr(detector, name, None) for name in ("rpn", "roi_heads"))]
    modes = [(part, part.training) for part in parts if isinstance(part, nn.Module)]
    for part, _ in modes:
        part.training = training
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
