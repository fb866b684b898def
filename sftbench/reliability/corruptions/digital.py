"""Digital: contrast, elastic, pixelate, JPEG. Images float32 [B, 3, S, S] in 0..1."""

from __future__ import annotations

import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sftbench.reliability.corruptions import sampling
from sftbench.reliability.corruptions.draws import Draws


def contrast(images: Tensor, level: float, _draws: Draws) -> Tensor:
    """Bring every value nearer to the mean of its channel."""
    mean = images.mean((2, 3), keepdim=True)
    return (images - mean) * level + mean


def elastic_transform(images: Tensor, level: tuple[float, float, float], draws: Draws) -> Tensor:
    """Move three corners by a random affine map, then every pixel along smooth random fields."""
    side = images.shape[-1]
    strength, smoothness, shift = (number * side for number in level)
    middle, reach = float(side // 2), float(side // 3)
    corners = images.new_tensor([[reach, reach], [reach, -reach], [-reach, -reach]]) + middle
    moved = corners + draws.uniform(-shift, shift, 3, 2)
    ones = moved.new_ones(len(moved), 3, 1)
    # An output place is brought back: rows (x, y, 1) of the moved corners to the corners.
    inverse = torch.linalg.solve(torch.cat([moved, ones], dim=2), corners.expand_as(moved))
    places = torch.arange(side, device=images.device, dtype=images.dtype)
    rows, columns = torch.meshgrid(places, places, indexing="ij")
    grid = torch.stack([columns, rows, torch.ones_like(rows)], dim=-1).view(-1, 3)
    x, y = (grid @ inverse).view(-1, side, side, 2).unbind(-1)
    images = sampling.sampled(images, y, x, "mirror")
    fields = draws.uniform(-1, 1, 2, side, side)
    fields = sampling.gaussian_blur(fields, smoothness, edge="reflect", truncate=3) * strength
    return sampling.sampled(images, rows + fields[:, 1], columns + fields[:, 0], "reflect")


def pixelate(images: Tensor, level: float, _draws: Draws) -> Tensor:
    """Make the image smaller and larger again, as Pillow's BOX does."""
    side = images.shape[-1]
    for size_in, size_out in ((side, int(side * level)), (int(side * level), side)):
        matrix = sampling.box_matrix(size_in, size_out).to(images.device)
        # Pillow rounds to 8 bits after each of its two passes: along rows, then columns.
        images = ((images @ matrix.T) * 255).round() / 255
        images = ((matrix @ images) * 255).round() / 255
    return images


def jpeg_compression(images: Tensor, level: int, _draws: Draws) -> Tensor:
    """Write each image as JPEG of a quality and read it again, by Pillow on the CPU."""
    pixels = (images * 255).round().to(torch.uint8).cpu().permute(0, 2, 3, 1).contiguous()
    read = np.stack([_through_jpeg(one, level) for one in pixels.numpy()])
    return torch.from_numpy(read).permute(0, 3, 1, 2).to(images) / 255


def _through_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))
