"""Feature maps of several strides from a network of ordered blocks, for heads that need places."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sftbench.models.blocks import BlockBackbone
from sftbench.models.freezing import in_eval


@dataclass(frozen=True, slots=True)
class Level:
    """One of the maps: [B, channels, height, width], at 1 / stride of the image's size."""

    channels: int
    height: int
    width: int
    stride: int

    @property
    def size(self) -> int:
        """Numbers in one image's map."""
        return self.channels * self.height * self.width


def packed(maps: Sequence[Tensor]) -> Tensor:
    """Return maps [B, C, H, W] as one tensor [B, L], which can be cached row by row."""
    return torch.cat([each.permute(0, 2, 3, 1).flatten(1) for each in maps], dim=1)


def unpacked(rows: Tensor, levels: Sequence[Level]) -> list[Tensor]:
    """Return the maps [B, C, H, W], channels last in memory, that were packed as [B, L]."""
    parts = torch.split(rows, [level.size for level in levels], dim=1)
    return [
        part.view(-1, level.height, level.width, level.channels).permute(0, 3, 1, 2)
        for part, level in zip(parts, levels, strict=True)
    ]


class PyramidNetwork(nn.Module):
    """A `Network` whose features are maps of several strides, packed into [B, L].

    The map of a stride is the output of the last block that has it: what timm and torchvision take
    for detection and segmentation. The last block may end in a pooling; then the last map is what
    is pooled. A last 1 x 1 convolution to more channels is left out.

    Args:
        body: The network; it becomes part of this one, as `body`.
        example: Images [B, C, H, W] of the size that all images have.
        strides: Of the maps, ascending.

    Attributes:
        levels: Form of each map; `unpacked(features, levels)` gives them.

    Raises:
        ValueError: The network has no map of one of the strides (a vision transformer has none).
    """

    def __init__(self, body: BlockBackbone, example: Tensor, strides: Sequence[int]) -> None:
        super().__init__()
        self.body = body
        with torch.no_grad(), in_eval(body):
            shapes = [tuple(body.forward_to(example, k).shape) for k in range(1, body.num_blocks)]
            taps = [_tap(shapes, example, stride) for stride in strides]
            end = _end_of_last_map(body, example, taps[-1], shapes[taps[-1] - 1])
        self._end = None
        if end is not None:
            self._end, shape = end
            taps[-1] = body.num_blocks
            shapes.append(shape)
        self._taps = tuple(taps)
        self.levels = tuple(
            _level(shapes[tap - 1], stride) for tap, stride in zip(self._taps, strides, strict=True)
        )
        self.num_blocks = self._taps[-1]
        self.block_names = tuple(body.block_names[: self.num_blocks])
        self.feature_width = sum(level.size for level in self.levels)
        self._shapes = shapes
        leave_out(body, self.num_blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, L] of images [B, C, H, W]."""
        return self.forward_from(x, 0)

    def forward_to(self, x: Tensor, k: int) -> Tensor:
        """The output of the first k blocks: x, packed maps so far and the output, or features."""
        return x if k == 0 else self._run(x, 0, k)

    def forward_from(self, h: Tensor, k: int) -> Tensor:
        """Features [B, L] from the output of the first k blocks."""
        return h if k == self.num_blocks else self._run(h, k, self.num_blocks)

    def block_of(self, parameter_name: str) -> int:
        """Index of the block that owns a parameter or buffer."""
        return self.body.block_of(parameter_name.removeprefix("body."))

    def _run(self, h: Tensor, first: int, last: int) -> Tensor:
        """Run blocks first..last - 1; go on from what `_run` gave for `first`."""
        if not 0 <= first <= last <= self.num_blocks:
            raise ValueError(f"k must be from 0 to {self.num_blocks} (num_blocks)")
        maps: list[Tensor] = []
        if first:
            maps = unpacked(h, self._levels_at(first))
            h = maps[-1] if first in self._taps else maps.pop()
        elif last == 0:
            return h
        stops = [tap for tap in self._taps if first < tap < last]
        for start, stop in itertools.pairwise((first, *stops, last)):
            if stop == self.num_blocks and self._end is not None:
                h = self.body.up_to(h, start, self._end)
            else:
                h = self.body.between(h, start, stop)
            maps.append(h)
        return packed(maps)

    def _levels_at(self, k: int) -> list[Level]:
        """Return the forms of what is packed behind block k: maps so far, and the output."""
        places = [tap for tap in self._taps if tap < k] + [k]
        return [_level(self._shapes[place - 1], 0) for place in places]


def _level(shape: tuple[int, ...], stride: int) -> Level:
    _, channels, height, width = shape
    return Level(channels, height, width, stride)


def _tap(shapes: Sequence[tuple[int, ...]], example: Tensor, stride: int) -> int:
    """Return how many blocks give the map of a stride."""
    wanted = tuple(-(-size // stride) for size in example.shape[2:])
    found = [
        k for k, shape in enumerate(shapes, start=1) if len(shape) == 4 and shape[2:] == wanted
    ]
    if not found:
        size = " x ".join(map(str, example.shape[2:]))
        raise ValueError(f"no block gives maps of 1/{stride} of images of {size} pixels")
    return found[-1]


def _end_of_last_map(
    body: BlockBackbone, example: Tensor, tap: int, shape: tuple[int, ...]
) -> tuple[str, tuple[int, ...]] | None:
    """Find what the last block pools, where that is the map of the last stride gone on with.

    Args:
        body: In eval mode.
        example: Images [B, C, H, W].
        tap: How many blocks give the last map that stands between two blocks.
        shape: Of that map.

    Returns:
        The module that gives it, and its shape; None: the map between the blocks is the last.
    """
    channels = shape[1]
    for info in getattr(body.model, "feature_info", ()):  # as timm's networks say it
        if isinstance(info, Mapping) and body.num_blocks - 1 == tap:
            channels = int(info["num_chs"])
    found: list[tuple[str, Tensor]] = []

    def watch(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: object, output: object) -> None:
            if isinstance(output, Tensor) and output.shape[1:] == (channels, *shape[2:]):
                found[:] = [(name, output.clone())]  # the last; a later step may write to it

        return hook

    names = {name: module for name, module in body.model.named_modules() if name}
    hooks = [module.register_forward_hook(watch(name)) for name, module in names.items()]
    try:
        body(example)
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        return None
    [(name, last)] = found
    return None if torch.equal(last, body.forward_to(example, tap)) else (name, tuple(last.shape))


def leave_out(body: BlockBackbone, num_blocks: int) -> None:
    """Replace what only runs behind a block by nothing."""
    names = {name.rpartition(".")[0] for name, _ in body.model.named_parameters()}
    names |= {name.rpartition(".")[0] for name, _ in body.model.named_buffers()}
    gone: list[str] = []
    for name in sorted(names - {""}):
        within_gone = any(name.startswith(f"{other}.") for other in gone)
        if not within_gone and body.block_of(f"model.{name}.weight") >= num_blocks:
            body.model.set_submodule(name, nn.Identity())
            gone.append(name)
