"""Full fine-tuning of a network with other layers: another head, fewer blocks, another stem."""

from __future__ import annotations

import torch
from pydantic import Field
from timm.layers.conv2d_same import Conv2dSame
from torch import nn
from torch.nn import functional as F

from sftbench.api import (
    BackboneInfo,
    BlockBackbone,
    DatasetInfo,
    Model,
    Options,
    RequestError,
    ShortenedNetwork,
    Stage,
    Strategy,
    StrategyContext,
)

IMAGES = "image-classification"


class _Changed(Strategy):
    """Train everything of a changed network."""

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        return [Stage(name="train")]


def images_only(name: str, backbone: BackboneInfo) -> str | None:
    """Say why a backbone that takes no images is not served, or None."""
    return None if IMAGES in backbone.tasks else f"strategy {name} needs a network of images"


def blocks_of(model: Model, name: str) -> BlockBackbone:
    """Return the backbone as blocks that can be taken apart.

    Raises:
        RequestError: It is made otherwise.
    """
    if not isinstance(model.backbone, BlockBackbone):
        kind = type(model.backbone).__name__
        raise RequestError(f"strategy {name!r} needs a BlockBackbone; this backbone is a {kind}")
    return model.backbone


def example_for(ctx: StrategyContext) -> torch.Tensor:
    """Return images [2, 3, S, S] of the cell's size."""
    size = int(ctx.protocol.image_size)
    return torch.zeros(2, 3, size, size)


class HeadLinear(_Changed):
    """Keep the task's own linear head: the identity, to stand beside others."""

    name = "head=linear"
    summary = "full, with the task's own linear head"
    claims = frozenset({"head"})


class HeadMlpOptions(Options):
    """`width`: of the hidden layer."""

    width: int = Field(512, ge=1, le=65_536)


class HeadMlp(_Changed):
    """Put linear, ReLU, linear in the head's place, with torch's default initialisation.

    Source: Chen et al. 2020, "Big Self-Supervised Models are Strong Semi-Supervised Learners",
    section 2: fine-tuning from a hidden layer of the projection head; here it begins at random.
    """

    name = "head=mlp"
    summary = "full, with a head of two layers, H units between them"
    needs_labels = True
    claims = frozenset({"head"})
    options_model = HeadMlpOptions
    options: HeadMlpOptions
    argument = "width"

    def adapt(self, model: Model, ctx: StrategyContext) -> Model:
        """Replace the head."""
        width, hidden = model.network.feature_width, self.options.width
        model.head = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, ctx.info.num_classes)
        )
        return model


class DropLastOptions(Options):
    """`blocks`: how many of the last blocks leave; 0: none."""

    blocks: int = Field(1, ge=0)


class DropLast(_Changed):
    """Leave out the last K blocks; the outputs before them are averaged over their places.

    With K = 0 the network is as it was, to the bit. What is kept keeps its pretrained weights; the
    head is new, of the new width.

    Source: Yosinski et al. 2014, "How transferable are features in deep neural networks?": later
    layers are the specific ones.
    """

    name = "drop-last"
    summary = "full, without the last K blocks"
    needs_labels = True
    claims = frozenset({"blocks", "head"})
    options_model = DropLastOptions
    options: DropLastOptions
    argument = "blocks"

    def supports(self, task: str, backbone: BackboneInfo, dataset: DatasetInfo) -> str | None:
        """Refuse networks of anything but images."""
        return images_only(self.name, backbone)

    def adapt(self, model: Model, ctx: StrategyContext) -> Model:
        """Shorten the backbone.

        Raises:
            RequestError: No block would be left.
        """
        count = self.options.blocks
        if count == 0:
            return model
        body = blocks_of(model, self.name)
        if count >= body.num_blocks:
            raise RequestError(f"{self.reference}: the backbone has {body.num_blocks} blocks")
        short = ShortenedNetwork(body, example_for(ctx), body.num_blocks - count)
        model.backbone = short
        model.head = nn.Linear(short.feature_width, ctx.info.num_classes)
        ctx.remarks.append(
            f"{short.num_blocks} of {short.num_blocks + count} blocks kept, the last is "
            f"{short.block_names[-1]}"
        )
        return model


class StemCifar(_Changed):
    """Make the first convolution 3 x 3 with stride 1, and leave out a stem's max-pooling.

    A larger kernel is resized from the pretrained one (bilinear, antialiased) and keeps its sum, so
    that even regions give what they gave; one of 3 x 3 is kept as it is.

    Source: He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2: the stem
    for CIFAR; there it is trained from random weights.
    """

    name = "stem=cifar"
    summary = "full, with a first convolution of 3 x 3 and stride 1, for small images"
    claims = frozenset({"stem"})

    def supports(self, task: str, backbone: BackboneInfo, dataset: DatasetInfo) -> str | None:
        """Refuse networks of anything but images."""
        return images_only(self.name, backbone)

    def adapt(self, model: Model, ctx: StrategyContext) -> Model:
        """Replace the first convolution, and cut the network into blocks again.

        Raises:
            RequestError: The network begins with patches, or with no convolution of images.
        """
        network = blocks_of(model, self.name).model
        first = next((m for m in network.named_modules() if isinstance(m[1], nn.Conv2d)), None)
        if first is None or first[1].in_channels != 3 or first[1].groups != 1:
            raise RequestError(f"strategy {self.name!r}: the network begins with no convolution")
        name, conv = first
        if conv.kernel_size == conv.stride and conv.stride[0] > 1:
            raise RequestError(f"strategy {self.name!r}: the network begins with patches")
        if type(conv) not in {nn.Conv2d, Conv2dSame}:
            kind = type(conv).__name__
            raise RequestError(f"strategy {self.name!r}: it cannot change the kernel of a {kind}")
        network.set_submodule(name, small_stem(conv))
        pooled = isinstance(getattr(network, "maxpool", None), nn.MaxPool2d)
        if pooled:
            network.maxpool = nn.Identity()
        model.backbone = BlockBackbone(network, example_for(ctx))
        size = "x".join(map(str, conv.kernel_size))
        resized = "kept" if conv.kernel_size == (3, 3) else f"resized from {size}"
        ctx.remarks.append(
            f"{name}: kernel {resized}, stride {conv.stride[0]} to 1"
            + ("; max-pooling left out" if pooled else "")
        )
        return model


def small_stem(conv: nn.Conv2d) -> nn.Conv2d:
    """Return a convolution of 3 x 3 and stride 1 that sums up to what `conv` does."""
    made = nn.Conv2d(
        conv.in_channels, conv.out_channels, 3, padding=1, bias=conv.bias is not None
    ).to(conv.weight)
    weight = conv.weight.detach()
    if weight.shape[2:] != (3, 3):
        small = F.interpolate(weight, size=(3, 3), mode="bilinear", antialias=True)
        sums = weight.sum(dim=(2, 3), keepdim=True)
        weight = small + (sums - small.sum(dim=(2, 3), keepdim=True)) / 9
    with torch.no_grad():
        made.weight.copy_(weight)
        if conv.bias is not None and made.bias is not None:
            made.bias.copy_(conv.bias)
    return made
