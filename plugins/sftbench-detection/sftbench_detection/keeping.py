"""From a detector's outputs to what is kept of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sftbench_detection.batches import Truth
from sftbench_detection.layout import DETECTION, HEADER, KEPT_WIDTH, MOST_DETECTIONS, OBJECT


def kept_rows(detections: Sequence[Mapping[str, Tensor]], truth: Truth) -> Tensor:
    """Return float32 [B, W], as `layout` describes, in published pixels.

    Args:
        detections: For each image `boxes` [n, 4] as x0, y0, x1, y1 in pixels of the square,
            `scores` [n] and `labels` int64 [n].
        truth: Of plain views.
    """
    kept = truth.rows.new_zeros((len(detections), KEPT_WIDTH))
    for image, found in enumerate(detections):
        classes, scale, width, height = truth.rows[image, 0, :4]
        kept[image, 0], kept[image, 1], kept[image, 2] = classes, width, height
        order = torch.argsort(found["scores"].float(), descending=True, stable=True)
        boxes = _published(found["boxes"].float()[order], scale, width, height)
        whole = (boxes[:, 2:] > 0).all(dim=1)  # what lies beside the image is nothing
        boxes, order = boxes[whole][:MOST_DETECTIONS], order[whole][:MOST_DETECTIONS]
        table = kept[image, HEADER:].view(-1)[: MOST_DETECTIONS * DETECTION].view(-1, DETECTION)
        table[: len(order), 0] = found["labels"][order].float()
        table[: len(order), 1] = found["scores"][order].float()
        table[: len(order), 2:] = boxes
        objects = truth.objects(image)
        start = HEADER + MOST_DETECTIONS * DETECTION
        rows = kept[image, start:].view(-1, OBJECT)
        rows[: len(objects)] = objects
        rows[: len(objects), 1:5] = objects[:, 1:5] / scale
    return kept


def _published(boxes: Tensor, scale: Tensor, width: Tensor, height: Tensor) -> Tensor:
    """Return x, y, width, height in published pixels, within the image."""
    corners = boxes / scale
    x = corners[:, 0::2].clamp(min=0.0).minimum(width)
    y = corners[:, 1::2].clamp(min=0.0).minimum(height)
    return torch.stack([x[:, 0], y[:, 0], x[:, 1] - x[:, 0], y[:, 1] - y[:, 0]], dim=1)
