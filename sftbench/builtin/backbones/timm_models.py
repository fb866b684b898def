"""Every model of timm, with the weights that timm's own hub path gives."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from functools import cache
from typing import Any

import huggingface_hub
import timm
import torch
from torch import Tensor, nn

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
from sftbench.network import endpoint_problem

# The attribute of a built network that holds what it was built with.
_ARGUMENTS = "timm_arguments"
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_MODEL_ERRORS = (  # what a model may raise for an image size that it cannot take
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


class TimmBackbone(Backbone):
    """A model of timm. The family makes a subclass for each name."""

    def info(self) -> BackboneInfo:
        """Return what timm's configuration of the weights says; the network is not built."""
        config = _config(self.name)
        return BackboneInfo(
            image_size=int(config.input_size[-1]),
            mean=tuple(config.mean),
            std=tuple(config.std),
            interpolation="bilinear" if config.interpolation == "bilinear" else "bicubic",
            licence=config.license or "unknown",
            source=_source(config),
        )

    def build(self, image_size: int) -> nn.Module:
        """Build timm's network without its classifier.

        Raises:
            sftbench.api.RequestError: It cannot take images of this size.
        """
        # Networks of a fixed size must be told it; the others do not know the argument.
        arguments: dict[str, Any] = (
            {"img_size": image_size} if _config(self.name).fixed_input_size else {}
        )
        try:
            model = timm.create_model(self.name, pretrained=False, num_classes=0, **arguments)
            network = BlockBackbone(model, torch.zeros(1, 3, image_size, image_size))
        except _MODEL_ERRORS as error:
            raise RequestError(
                f"backbone {self.name!r} cannot be built for images of {image_size} pixels "
                f"({cause(error)}); its own size: --image-size {self.info().image_size}"
            ) from error
        setattr(network, _ARGUMENTS, arguments)
        return network

    def pretrained(self, network: nn.Module) -> PretrainedWeights:
        """Load the weights as `timm.create_model(pretrained=True)` does, from cache or hub.

        Position embeddings come resampled by timm where the network has another image size.
        """
        problem = self.pretrained_problem()
        if problem:
            raise UnavailableError(problem)
        config = _config(self.name)
        # Without the path, the hub's client asks its host about a file that it has: without a
        # network that takes a minute of retries.
        cached = _cached_file(config)
        overlay = {"file": cached, "custom_load": config.custom_load == "hf"} if cached else None
        try:
            with torch.random.fork_rng(devices=[]), redirect_stdout(sys.stderr):
                whole = timm.create_model(
                    self.name,
                    pretrained=True,
                    pretrained_cfg_overlay=overlay,
                    **getattr(network, _ARGUMENTS, {}),
                )
        except Exception as error:
            # The hub's client, its transport and the reader of the file each have their own errors.
            reason = f"{cached or _source(config)} does not load ({cause(error)})"
            raise UnavailableError(f"weights of {self.name}: {reason}") from error
        state = whole.state_dict()
        own = [name.removeprefix("model.") for name in network.state_dict()]
        return PretrainedWeights(
            state={f"model.{name}": state[name] for name in own if name in state},
            head=_head(whole, state.keys() - set(own)),
            digest=state_digest(state.items()),
            origin=f"hub: {_source(config)}",
        )

    def fetch_pretrained(self, say: Callable[[str], None]) -> None:
        """Download the file that timm would load, once; the libraries' bars show how far it is.

        Raises:
            UnavailableError: It cannot be had after all.
        """
        config = _config(self.name)
        if not config.hf_hub_id:
            hub.fetch_checkpoint(config.url, self.name, say)
            return
        if _cached_file(config):
            return
        say(f"downloading the weights of {self.name} from the hub: {config.hf_hub_id}")
        repository, _, revision = config.hf_hub_id.partition("@")
        files = [config.hf_hub_filename] if config.hf_hub_filename else _HUB_FILES
        try:
            with hub.quiet_unless_seen():
                hub.first_of(repository, files, revision or None)
        except Exception as error:
            # The hub's client and its transport each have their own errors.
            reason = f"{config.hf_hub_id} cannot be downloaded ({cause(error)})"
            raise UnavailableError(f"weights of {self.name}: {reason}") from error

    def pretrained_problem(self) -> str | None:
        """Say why timm could not load the weights here, or None."""
        config = _config(self.name)
        if not config.has_weights:
            return _no_weights(self.name)
        reason = _hub_problem(config) if config.hf_hub_id else hub.url_problem(config.url)
        return f"weights of {self.name}: {reason}" if reason else None


class TimmFamily:
    """Resolves the names of timm's models, with or without the tag of their weights."""

    def names(self) -> Iterable[str]:
        """Return every architecture, and every architecture with each tag of its weights."""
        return sorted({*timm.list_models(), *timm.list_models(include_tags=True)})

    def resolve(self, name: str) -> type[TimmBackbone] | None:
        """Return the class of a model, or None; deprecated names are not among timm's."""
        # The whole list takes 8 ms to make: a name that was in it is not looked for again.
        if name not in _found and name in self.names():
            _found.add(name)
        return _class_of(name) if name in _found else None


_found: set[str] = set()
family = TimmFamily()


@cache
def _class_of(name: str) -> type[TimmBackbone]:
    summary = f"{name.partition('.')[0]} of timm; weights: {_source(_config(name)) or 'none'}"
    return type(
        "TimmBackbone",
        (TimmBackbone,),
        {"__module__": __name__, "name": name, "summary": summary, "algorithm_version": 1},
    )


def _config(name: str) -> Any:
    """Return timm's `PretrainedCfg` of a model and tag; without a tag, of its first."""
    return timm.get_pretrained_cfg(name)


def _source(config: Any) -> str:
    return config.hf_hub_id or config.url or ""


def _no_weights(name: str) -> str:
    return f"timm has no pretrained weights for {name!r}; use --weights none"


def _cached_file(config: Any) -> str | None:
    """Return the file of a Hugging Face repository that timm would load, where it is here."""
    if not config.hf_hub_id:
        return None
    repository, _, revision = config.hf_hub_id.partition("@")
    for file in [config.hf_hub_filename] if config.hf_hub_filename else _HUB_FILES:
        found = huggingface_hub.try_to_load_from_cache(repository, file, revision=revision or None)
        if isinstance(found, str):
            return found
    return None


def _hub_problem(config: Any) -> str | None:
    """Say why the files of a Hugging Face repository cannot be had, or None."""
    if _cached_file(config):
        return None
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return f"{config.hf_hub_id} is not in the cache and HF_HUB_OFFLINE is set"
    return endpoint_problem(huggingface_hub.constants.ENDPOINT)


def _head(whole: nn.Module, left_over: Iterable[str]) -> Mapping[str, Tensor] | None:
    """Return the classifier where it is one linear layer and all that the backbone lacks."""
    find = getattr(whole, "get_classifier", None)  # encoders alone have none
    classifier = find() if find else None
    if not isinstance(classifier, nn.Linear | nn.Conv2d):  # a 1 x 1 convolution of pooled features
        return None
    name = next(name for name, module in whole.named_modules() if module is classifier)
    if not set(left_over) <= {f"{name}.weight", f"{name}.bias"}:
        return None
    weight = classifier.weight.detach().flatten(1)
    bias = weight.new_zeros(len(weight)) if classifier.bias is None else classifier.bias.detach()
    return {"weight": weight, "bias": bias}
