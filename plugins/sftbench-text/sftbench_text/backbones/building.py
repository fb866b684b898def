"""Encoders of transformers from their configurations, without head."""

from __future__ import annotations

import warnings
from typing import Any

from torch import nn

from sftbench.api import RequestError
from sftbench.names import cause


def build_encoder(config: Any, name: str) -> nn.Module:
    """Build an encoder with random weights; a pooler on its first token is left out.

    Args:
        config: Of transformers.
        name: Of the backbone, for messages.

    Raises:
        RequestError: transformers has no encoder of this kind.
    """
    import transformers

    library: Any = transformers
    if getattr(config, "is_encoder_decoder", False):
        raise RequestError(
            f"backbone {name!r} is a {config.model_type}, an encoder with a decoder; an encoder "
            "alone is needed, such as BERT, RoBERTa or DistilBERT"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = library.AutoModel.from_config(config)
    except Exception as error:
        # What a configuration of a stranger makes transformers raise may be anything.
        raise RequestError(f"backbone {name!r} cannot be built ({cause(error)})") from error
    return without_pooler(model.float())


def without_pooler(model: Any) -> nn.Module:
    """Remove what transformers computes of the first token behind the last layer."""
    if isinstance(getattr(model, "pooler", None), nn.Module):
        model.pooler = None
    found: nn.Module = model
    return found
