"""A network without head as a module of ordered blocks, from stem to last."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sftbench.models.cut_search import Probe, with_parents
from sftbench.models.cuts import Cut, Shape, flat_features, not_run, run_to, skipping


class BlockBackbone(nn.Module):
    """A network without head, cut into ordered blocks.

    The wrapped network is `self.model`, so parameters are named "model.<the library's name>". Not
    for calls from several threads at once: `forward_from` replaces modules while it runs.

    Args:
        model: Maps images float32 [B, C, H, W] to features [B, D] or [B, D, 1, 1] (timm:
            `num_classes=0`; torchvision: the last layer replaced by Identity). It is left as it is,
            in its train or eval mode, buffers and hooks included.
        example: Images [B, C, H, W] for one eval-mode probe without gradients, on the model's
            device. Other batch sizes may follow. Another image size may follow where the network
            looks at sizes only behind the boundary (convolutional networks do).

    Attributes:
        block_names: One name a block in the order in which they run, "stem" first; a block that
            could not be cut further may be named "first..last".
        num_blocks: How many blocks there are, at least 1.
        feature_width: D.

    Raises:
        ValueError: The model does not give features [B, D].
    """

    def __init__(self, model: nn.Module, example: Tensor) -> None:
        super().__init__()
        self.model = model
        devices = [example.device] if example.is_cuda else []
        with torch.random.fork_rng(devices), torch.no_grad():
            probe = Probe(model, example)
            probe.find()
        self.block_names = probe.block_names()
        self.num_blocks = len(self.block_names)
        self.feature_width = int(probe.features.shape[1])
        self._cuts = tuple(probe.cuts)
        self._first_blocks = probe.first_blocks()
        self._image = Shape(1, tuple(example.shape[1:]), example.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, D] of images [B, C, H, W]."""
        return flat_features(self.model, self.model(x))

    def forward_to(self, x: Tensor, k: int) -> Tensor:
        """The output [B, ...] of the first k blocks: x for k = 0, features for k = num_blocks.

        Blocks behind do not run. Parameters of blocks >= k get no gradient, buffers no update.
        """
        self._check(k)
        if k == 0:
            return x
        if k == self.num_blocks:
            return self.forward(x)
        return run_to(self.model, x, self._cuts[k - 1])

    def forward_from(self, h: Tensor, k: int) -> Tensor:
        """Features [B, D] from the output h [B, ...] of the first k blocks.

        The first k blocks do not run: their buffers stay as they are and only h and blocks >= k get
        gradients. (A parameter of the model itself belongs to block 0 but may be used late, such as
        CaiT's class token.)
        """
        self._check(k)
        if k == 0:
            return self.forward(h)
        if k == self.num_blocks:
            return h
        cut = self._cuts[k - 1]
        with skipping(self.model, cut, h) as stand_ins:
            features = self.forward(self._image.filled(h, 0.0))
        if not stand_ins[-1].num_calls:
            raise not_run(self.model, cut)
        return features

    def between(self, h: Tensor, first: int, last: int) -> Tensor:
        """The output of the first `last` blocks from that of the first `first`, h [B, ...].

        No other block runs.
        """
        self._check(first)
        self._check(last)
        if first > last:
            raise ValueError(f"first ({first}) must not be above last ({last})")
        if first == 0:
            return self.forward_to(h, last)
        if last == self.num_blocks:
            return self.forward_from(h, first)
        if first == last:
            return h
        with skipping(self.model, self._cuts[first - 1], h):
            return run_to(self.model, self._image.filled(h, 0.0), self._cuts[last - 1])

    def up_to(self, h: Tensor, first: int, module: str) -> Tensor:
        """The output of a module behind the first `first` blocks, from their output h [B, ...].

        Args:
            h: The images for first = 0.
            first: How many blocks do not run.
            module: Name of the module within `self.model`; what runs after it does not.
        """
        self._check(first)
        end = Cut((module,), (), 0)
        if first == 0:
            return run_to(self.model, h, end)
        with skipping(self.model, self._cuts[first - 1], h):
            return run_to(self.model, self._image.filled(h, 0.0), end)

    def block_of(self, parameter_name: str) -> int:
        """Index of the block that owns a parameter or buffer: the first in which its module runs.

        Parameters of the model itself (cls_token, pos_embed) belong to block 0, as does what never
        ran in the probe and has no parent that did.

        Raises:
            KeyError: The name does not start with "model.".
        """
        prefix, _, name = parameter_name.partition(".")
        if prefix != "model" or not name:
            raise KeyError(f"{parameter_name!r}: names of parameters start with 'model.'")
        for module in with_parents(name.rpartition(".")[0]):
            if module in self._first_blocks:
                return self._first_blocks[module]
        return 0

    def _check(self, k: int) -> None:
        if not 0 <= k <= self.num_blocks:
            raise ValueError(f"k must be from 0 to {self.num_blocks} (num_blocks), not {k}")
