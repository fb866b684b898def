"""Training one kind of parameter, and the head."""

from __future__ import annotations

from torch import nn

from sftbench.api import Model, RequestError, Stage, Strategy, StrategyContext

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)  # noqa: SLF001 - no public base


class BiasOnly(Strategy):
    """Train the biases, those of norms too, and the head; freeze every other weight.

    A parameter is a bias where its name ends so: attention of torch has `in_proj_bias`, that of
    timm sometimes `q_bias`. Norms that train also go on with their running statistics.

    Source: Ben Zaken et al. 2022, "BitFit: Simple Parameter-efficient Fine-tuning for
    Transformer-based Masked Language-models", section 3; there for transformers.
    """

    name = "bias-only"
    summary = "train biases and the head (BitFit)"

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        return [
            Stage(name="train", trainable=lambda name: name.endswith("bias") or ctx.is_head(name))
        ]


class NormOnly(Strategy):
    """Train scale and shift of normalisation layers, and the head; freeze every other weight.

    Norms that train also go on with their running statistics.

    Source: Frankle et al. 2021, "Training BatchNorm and Only BatchNorm: On the Expressive Power of
    Random Features in CNNs", section 3; there from random weights, and without the head.
    """

    name = "norm-only"
    summary = "train normalisation layers and the head"

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage; a backbone without normalisation layers is refused at its beginning."""
        names: set[str] = set()

        def prepare(model: Model, _ctx: StrategyContext) -> None:
            names.update(norm_parameters(model))
            if not any(name.startswith("backbone.") for name in names):
                raise RequestError(
                    f"strategy {self.name!r}: the backbone has no normalisation layer with "
                    "parameters; head-only is what is left"
                )

        def trainable(name: str) -> bool:
            return name in names or ctx.is_head(name)

        return [Stage(name="train", trainable=trainable, prepare=prepare)]


def norm_parameters(model: nn.Module) -> list[str]:
    """Return the names of the parameters that belong to a normalisation layer itself."""
    return [
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        if isinstance(module, _NORMS) or "Norm" in type(module).__name__
        for name, _ in module.named_parameters(recurse=False)
    ]
