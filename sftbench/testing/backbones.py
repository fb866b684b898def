"""Rules for backbones."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from sftbench.contracts.backbone import Backbone, BackboneInfo, Network, PretrainedWeights
from sftbench.testing.findings import BlockedError, Once, UncheckedError

_SMALL_PIXELS = 32
_TOLERANCE = 1e-4


class BackboneSubject:
    """A backbone, its network and two images.

    Args:
        backbone: The component.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.info = Once(backbone.info)
        self._sized = Once(self._smallest)
        self._sound = Once(self._sound_network)
        self.rebuilt = Once(lambda: self.build(self.pixels))
        self.pretrained = Once(self._pretrained)

    @property
    def pixels(self) -> int:
        """32, or the backbone's own size where it cannot be built so small."""
        return self._sized()[0]

    @property
    def module(self) -> nn.Module:
        """Whatever `build` returned."""
        return self._sized()[1]

    @property
    def network(self) -> nn.Module:
        """The network in eval mode; only where it has what the contract names."""
        return self._sound()

    @property
    def images(self) -> Tensor:
        """Inputs [2, ...] without meaning: of images float32 [2, 3, S, S]."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.backbone.noise(2, self.pixels)

    def build(self, pixels: int) -> nn.Module:
        """Build under a seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.backbone.build(pixels)

    def _smallest(self) -> tuple[int, nn.Module]:
        own = self.info().image_size
        try:
            return _SMALL_PIXELS, self.build(_SMALL_PIXELS)
        except Exception:
            if own == _SMALL_PIXELS:
                raise
        return own, self.build(own)

    def _sound_network(self) -> nn.Module:
        if build_gives_a_network(self) is not None:
            raise BlockedError
        return self.module.eval()

    def _pretrained(self) -> PretrainedWeights:
        problem = self.backbone.pretrained_problem()
        if problem is not None:
            raise UncheckedError(problem)
        return self.backbone.pretrained(self.network)


def info_is_plausible(subject: BackboneSubject) -> str | None:
    """Size, normalisation and tasks can be right."""
    info = subject.info()
    if not isinstance(info, BackboneInfo):
        return f"info() returned a {type(info).__name__}, not a BackboneInfo"
    if not 8 <= info.image_size <= 4096:
        return f"image_size {info.image_size} is not 8 to 4096 pixels"
    if len(info.mean) != 3 or not all(0 <= value <= 1 for value in info.mean):
        return f"mean {info.mean} is not three values on the scale 0..1"
    if len(info.std) != 3 or not all(0 < value <= 1 for value in info.std):
        return f"std {info.std} is not three values above 0 on the scale 0..1"
    return None if info.tasks else "tasks is empty"


def build_gives_a_network(subject: BackboneSubject) -> str | None:
    """The module has blocks, their names and a feature width."""
    module = subject.module
    if not isinstance(module, nn.Module):
        return f"build() returned a {type(module).__name__}, not a module"
    parts = ("num_blocks", "block_names", "feature_width", "forward_to", "forward_from", "block_of")
    missing = [part for part in parts if not hasattr(module, part)]
    if missing:
        return f"lacks {', '.join(missing)}; sftbench.api.BlockBackbone has them"
    network = cast(Network, module)
    names = tuple(network.block_names)
    if network.num_blocks < 1 or len(names) != network.num_blocks:
        return f"num_blocks is {network.num_blocks}, and block_names has {len(names)}"
    if len(set(names)) != len(names):
        return f"block_names are not unique: {names}"
    return None if network.feature_width > 0 else f"feature_width is {network.feature_width}"


def parameters_are_float32_on_the_cpu(subject: BackboneSubject) -> str | None:
    """The engine chooses device and precision."""
    for name, parameter in subject.network.named_parameters():
        if parameter.dtype != torch.float32 or parameter.device.type != "cpu":
            return f"{name} is {parameter.dtype} on {parameter.device}"
    return None


def features_have_the_feature_width(subject: BackboneSubject) -> str | None:
    """Images [B, 3, S, S] become finite features [B, D]."""
    with torch.no_grad():
        features = subject.network(subject.images)
    wanted = (2, cast(Network, subject.network).feature_width)
    if tuple(features.shape) != wanted:
        return f"features of 2 images have shape {tuple(features.shape)}, not {wanted}"
    return None if bool(torch.isfinite(features).all()) else "features are not finite"


def every_tensor_belongs_to_a_block(subject: BackboneSubject) -> str | None:
    """`block_of` knows each parameter and buffer."""
    network = cast(Network, subject.network)
    for name in subject.network.state_dict():
        block = network.block_of(name)
        if not 0 <= block < network.num_blocks:
            return f"block_of({name!r}) is {block}, outside 0..{network.num_blocks - 1}"
    return None


def blocks_compose(subject: BackboneSubject) -> str | None:
    """`forward_from(forward_to(x, k), k)` equals `forward(x)` for every k."""
    network, x = cast(Network, subject.network), subject.images
    with torch.no_grad():
        whole = subject.network(x)
        room = _TOLERANCE * max(1.0, float(whole.abs().max()))
        for k in range(network.num_blocks + 1):
            parts = network.forward_from(network.forward_to(x, k), k)
            if parts.shape != whole.shape or not torch.allclose(parts, whole, rtol=0, atol=room):
                return f"forward_from(forward_to(x, {k}), {k}) is not forward(x)"
    return None


def a_prefix_uses_its_blocks_alone(subject: BackboneSubject) -> str | None:
    """No parameter of a later block changes `forward_to(x, k)`, whose outputs are cached."""
    network, x = cast(Network, subject.network), subject.images
    parameters = dict(subject.network.named_parameters())
    for k in range(1, network.num_blocks):
        later = [name for name in parameters if network.block_of(name) >= k]
        out = network.forward_to(x, k)
        if not later or not out.requires_grad:
            continue
        gradients = torch.autograd.grad(
            out.float().sum(), [parameters[name] for name in later], allow_unused=True
        )
        for name, gradient in zip(later, gradients, strict=True):
            if gradient is not None:
                return f"forward_to(x, {k}) uses {name} of block {network.block_of(name)}"
    return None


def eval_mode_is_deterministic(subject: BackboneSubject) -> str | None:
    """The same images give the same features, and change no buffer."""
    with torch.no_grad():
        before = {name: t.clone() for name, t in subject.network.state_dict().items()}
        first, second = subject.network(subject.images), subject.network(subject.images)
    if not torch.equal(first, second):
        return "two passes in eval mode differ"
    after = subject.network.state_dict()
    changed = [name for name, tensor in before.items() if not torch.equal(tensor, after[name])]
    return f"a pass in eval mode changes {changed[0]}" if changed else None


def one_seed_builds_one_network(subject: BackboneSubject) -> str | None:
    """Random weights come from torch's generator, which is seeded."""
    first, second = subject.network.state_dict(), subject.rebuilt().state_dict()
    differing = [
        name for name in first if name not in second or not torch.equal(first[name], second[name])
    ]
    return f"two networks of one seed differ in {differing[0]}" if differing else None


def pretrained_weights_fit(subject: BackboneSubject) -> str | None:
    """The state loads strictly, and a source head has weight [S, D] and bias [S]."""
    network = subject.network
    given = subject.pretrained()
    subject.rebuilt().load_state_dict(dict(given.state))
    if not given.digest or not given.origin:
        return "digest or origin is empty"
    if given.head is None:
        return None
    width = cast(Network, network).feature_width
    weight, bias = given.head["weight"], given.head["bias"]
    if weight.ndim != 2 or weight.shape[1] != width or bias.shape != weight.shape[:1]:
        shapes = f"weight {list(weight.shape)} and bias {list(bias.shape)}"
        return f"the source head has {shapes}, not [S, {width}] and [S]"
    return None


BACKBONE = (
    info_is_plausible,
    build_gives_a_network,
    parameters_are_float32_on_the_cpu,
    features_have_the_feature_width,
    every_tensor_belongs_to_a_block,
    blocks_compose,
    a_prefix_uses_its_blocks_alone,
    eval_mode_is_deterministic,
    one_seed_builds_one_network,
    pretrained_weights_fit,
)
