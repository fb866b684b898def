"""Changes of colour of whole batches, each image by an amount of its own.

As torchvision's kernels on uint8: arithmetic in float32, fractions cut off.
"""

from __future__ import annotations

import torch
from torch import Tensor


def brightened(batch: Tensor, factors: Tensor) -> Tensor:
    """Multiply every value; uint8 [B, C, H, W] by factors float64 [B]."""
    return _whole(batch.to(torch.float32).mul_(_per_image(factors, batch)))


def saturated(batch: Tensor, factors: Tensor) -> Tensor:
    """Blend with the grey image; uint8 [B, C, H, W] by factors float64 [B]."""
    if batch.shape[1] == 1:
        return batch
    return _blended(batch, _grey(batch), factors)


def contrasted(batch: Tensor, factors: Tensor) -> Tensor:
    """Blend with the mean of the grey image; uint8 [B, C, H, W] by factors float64 [B]."""
    grey = batch.to(torch.float32) if batch.shape[1] == 1 else _grey(batch)
    return _blended(batch, grey.mean(dim=(1, 2, 3), keepdim=True), factors)


def sharpened(batch: Tensor, factors: Tensor) -> Tensor:
    """Blend with the image smoothed by 3 x 3 values; the border stays.

    Args:
        batch: uint8 [B, C, H, W].
        factors: float64 [B].
    """
    if min(batch.shape[2:]) <= 2:
        return batch
    result = batch.to(torch.float32)
    inner = result[:, :, 1:-1, 1:-1]
    # Weights 1 around 5; sums of whole numbers are exact in any order.
    rows = result[:, :, :-2] + result[:, :, 1:-1] + result[:, :, 2:]
    sums = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    smooth = sums.add_(inner, alpha=4.0).div_(13.0).round_()
    inner.add_(smooth.sub_(inner).mul_(_per_image(1.0 - factors, batch)))
    return _whole(result)


def posterized(batch: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest bits of each value; uint8 [B, C, H, W], bits int64 [B], 0 to 8."""
    masks = (256 - torch.exp2(8 - bits)).to(torch.uint8)
    return batch & masks.to(batch.device).view(-1, 1, 1, 1)


def solarized(batch: Tensor, thresholds: Tensor) -> Tensor:
    """Turn over values from the threshold on; uint8 [B, C, H, W], float32 [B], at most 255."""
    least = thresholds.ceil().to(torch.uint8).to(batch.device).view(-1, 1, 1, 1)
    return torch.where(batch >= least, 255 - batch, batch)


def contrast_stretched(batch: Tensor) -> Tensor:
    """Stretch each channel of each image, uint8 [B, C, H, W], to 0 to 255."""
    lowest = batch.amin(dim=(2, 3), keepdim=True).to(torch.float32)
    scale = batch.amax(dim=(2, 3), keepdim=True).to(torch.float32).sub_(lowest).mul_(1.0 / 255.0)
    flat = scale == 0
    lowest, scale = lowest.masked_fill_(flat, 0.0), scale.masked_fill_(flat, 1.0)
    return _whole(batch.to(torch.float32).sub_(lowest).div_(scale))


def equalized(batch: Tensor) -> Tensor:
    """Make the histogram of each channel of each image, uint8 [B, C, H, W], as even as it goes.

    Source: Pillow's `ImageOps.equalize`.
    """
    num, channels, height, width = batch.shape
    planes = batch.reshape(num * channels, height * width).to(torch.int64)
    bins = planes + 256 * torch.arange(len(planes), device=batch.device)[:, None]
    histograms = torch.bincount(bins.flatten(), minlength=256 * len(planes)).view(-1, 256)
    # Step and table leave out the pixels of the highest value there is.
    highest = planes.amax(dim=1, keepdim=True)
    step = (height * width - histograms.gather(1, highest)).div_(255, rounding_mode="floor")
    below = histograms.cumsum(dim=1) - histograms
    table = (below + step // 2).div_(step.clamp(min=1), rounding_mode="floor").clamp_(0, 255)
    even = table.gather(1, planes)
    return torch.where(step == 0, planes, even).to(torch.uint8).view(num, channels, height, width)


def _grey(batch: Tensor) -> Tensor:
    """Return float32 [B, 1, H, W] of whole levels."""
    red, green, blue = batch.unbind(1)
    grey = red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)
    return grey.floor_().unsqueeze_(1)


def _blended(batch: Tensor, other: Tensor, factors: Tensor) -> Tensor:
    result = batch.to(torch.float32).mul_(_per_image(factors, batch))
    return _whole(result.add_(other * _per_image(1.0 - factors, batch)))


def _per_image(values: Tensor, batch: Tensor) -> Tensor:
    """Return one number for each image, as float32 [B, 1, 1, 1] where the batch lies."""
    return values.to(torch.float32).to(batch.device).view(-1, 1, 1, 1)


def _whole(values: Tensor) -> Tensor:
    return values.clamp_(0.0, 255.0).to(torch.uint8)
