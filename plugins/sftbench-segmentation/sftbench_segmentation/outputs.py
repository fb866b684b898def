"""What is made of logits and masks on the device: the loss, and what is kept of each image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sftbench_segmentation.confusion import IGNORED


def pixel_loss(logits: Tensor, masks: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return the mean cross-entropy of the pixels that have a class, a scalar; 0 where none has.

    Args:
        logits: float [B, C, S, S].
        masks: int64 [B, S, S], class indices, 255 ignored.
        label_smoothing: As in torch's cross-entropy.
    """
    total = F.cross_entropy(
        _precise(logits),
        masks,
        ignore_index=IGNORED,
        label_smoothing=label_smoothing,
        reduction="sum",
    )
    return total / (masks != IGNORED).sum().clamp(min=1)


def kept(logits: Tensor, masks: Tensor) -> Tensor:
    """Return float32 [B, C C + 1]: counts of pixels by truth and prediction, and the summed loss.

    The first of equal logits is the prediction. Counts are whole numbers up to 2^24, the pixels of
    the largest image that a protocol allows, so float32 holds them exactly.
    """
    num, num_classes = logits.shape[:2]
    squared = num_classes * num_classes
    image = torch.arange(num, device=logits.device).view(num, 1, 1)
    cell = image * squared + masks * num_classes + logits.argmax(dim=1)
    counts = torch.bincount(cell[masks != IGNORED], minlength=num * squared)
    losses = F.cross_entropy(_precise(logits), masks, ignore_index=IGNORED, reduction="none")
    return torch.cat([counts.view(num, squared).float(), losses.sum(dim=(1, 2))[:, None]], dim=1)


def _precise(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
