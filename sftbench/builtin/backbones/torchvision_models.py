"""Every classification model of torchvision, with torchvision's own weights."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from functools import cache
from typing import Any

import torch
import torchvision
from torch import nn
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

from sftbench.api import (
    Backbone,
    BackboneInfo,
    BlockBackbone,
    PretrainedWeights,
    RequestError,
    UnavailableError,
)
from sftbench.builtin.backbones import hub
from sftbench.models.freezing import state_digest
from sftbench.names import cause

PREFIX = "torchvision/"
_NUM_CLASSES = 1000  # of every classification model of torchvision
_INCEPTIONS = ("googlenet", "inception_v3")
_MODEL_ERRORS = (  # what a model may raise for an image size that it cannot take
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


class TorchvisionBackbone(Backbone):
    """A model of torchvision. The family makes a subclass for each name."""

    def info(self) -> BackboneInfo:
        """Return what the transforms of torchvision's default weights say."""
        weights = _weights(self.name)
        look = weights.transforms()
        return BackboneInfo(
            image_size=int(look.crop_size[0]),
            mean=tuple(look.mean),
            std=tuple(look.std),
            interpolation="bilinear" if look.interpolation.value == "bilinear" else "bicubic",
            licence=weights.meta.get("license", "unknown"),
            source=weights.url,
        )

    def build(self, image_size: int) -> nn.Module:
        """Build torchvision's network; its last layer becomes `Identity`.

        Raises:
            sftbench.api.RequestError: It cannot take images of this size.
        """
        short = self.name.removeprefix(PREFIX)
        try:
            model = torchvision.models.get_model(
                short, weights=None, **_arguments(short, image_size)
            )
            parent, _, child = _classifier_name(model).rpartition(".")
            setattr(model.get_submodule(parent), child, nn.Identity())
            return BlockBackbone(model, torch.zeros(1, 3, image_size, image_size))
        except _MODEL_ERRORS as error:
            raise RequestError(
                f"backbone {self.name!r} cannot be built for images of {image_size} pixels "
                f"({cause(error)}); its own size: --image-size {self.info().image_size}"
            ) from error

    def pretrained(self, network: nn.Module) -> PretrainedWeights:
        """Load torchvision's default weights, from cache or host; a download is checked.

        Position embeddings are resampled where the network has another image size.
        """
        problem = self.pretrained_problem()
        if problem:
            raise UnavailableError(problem)
        short, weights = self.name.removeprefix(PREFIX), _weights(self.name)
        try:
            with torch.random.fork_rng(devices=[]), redirect_stdout(sys.stderr):
                # The builder and not the bare file: it renames the keys of old checkpoints.
                whole = torchvision.models.get_model(short, weights=weights, progress=False)
        except Exception as error:
            # torch.hub, its transport and the reader of the file each have their own errors.
            reason = f"{weights.url} does not load ({cause(error)})"
            raise UnavailableError(f"weights of {self.name}: {reason}") from error
        state = whole.state_dict()
        digest = state_digest(state.items())
        name = _classifier_name(whole)
        head = None
        if isinstance(whole.get_submodule(name), nn.Linear):  # SqueezeNet's comes before its pool
            weight = state[f"{name}.weight"]
            bias = state.get(f"{name}.bias", weight.new_zeros(len(weight)))
            head = {"weight": weight, "bias": bias}
        model = network.get_submodule("model")
        if isinstance(model, VisionTransformer):
            state = interpolate_embeddings(model.image_size, model.patch_size, state)
        return PretrainedWeights(
            state={f"model.{key}": state[key] for key in model.state_dict() if key in state},
            head=head,
            digest=digest,
            origin=f"hub: {weights.url}",
        )

    def fetch_pretrained(self, say: Callable[[str], None]) -> None:
        """Download torchvision's default weights, once, with a bar.

        Raises:
            UnavailableError: They cannot be had after all.
        """
        hub.fetch_checkpoint(_weights(self.name).url, self.name, say)

    def pretrained_problem(self) -> str | None:
        """Say why the weights are neither in torch's cache nor at hand from their host, or None."""
        reason = hub.url_problem(_weights(self.name).url)
        return f"weights of {self.name}: {reason}" if reason else None


class TorchvisionFamily:
    """Resolves `torchvision/NAME`."""

    def names(self) -> Iterable[str]:
        """Return the classification models of torchvision, with the prefix."""
        return [
            f"{PREFIX}{name}" for name in torchvision.models.list_models(module=torchvision.models)
        ]

    def resolve(self, name: str) -> type[TorchvisionBackbone] | None:
        """Return the class of a model, or None."""
        return _class_of(name) if name in self.names() else None


family = TorchvisionFamily()


@cache
def _class_of(name: str) -> type[TorchvisionBackbone]:
    summary = f"{name.removeprefix(PREFIX)} of torchvision; weights: {_weights(name)}"
    return type(
        "TorchvisionBackbone",
        (TorchvisionBackbone,),
        {"__module__": __name__, "name": name, "summary": summary, "algorithm_version": 1},
    )


def _weights(name: str) -> Any:
    """Return the default one of a model's weights."""
    return torchvision.models.get_model_weights(name.removeprefix(PREFIX)).DEFAULT


def _arguments(short: str, image_size: int) -> dict[str, Any]:
    """Return what a model must be told besides its name."""
    if short.startswith("vit_"):
        return {"image_size": image_size}
    if short == "maxvit_t":
        return {"input_size": (image_size, image_size)}
    if short in _INCEPTIONS:
        # Their weights are of TensorFlow: the network itself turns ImageNet's mean and std, in
        # which torchvision's transforms give the images, into 0.5.
        return {"aux_logits": False, "transform_input": True, "init_weights": True}
    return {}


def _classifier_name(model: nn.Module) -> str:
    """Return the name of the last layer that gives a number for each class."""
    names: list[str] = [
        name
        for name, module in model.named_modules()
        if (isinstance(module, nn.Linear) and module.out_features == _NUM_CLASSES)
        or (isinstance(module, nn.Conv2d) and module.out_channels == _NUM_CLASSES)
    ]
    return names[-1]
