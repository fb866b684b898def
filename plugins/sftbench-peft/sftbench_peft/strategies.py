"""Adapters that the library peft puts into linear layers and convolutions of a frozen backbone."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from peft import IA3Config, LoHaConfig, LoKrConfig, LoraConfig, inject_adapter_in_model
from pydantic import Field
from torch import nn

from sftbench.api import Model, Options, RequestError, Stage, Strategy, StrategyContext


class PeftOptions(Options):
    """`layers`: which get an adapter: all, linear ones, or convolutions."""

    layers: str = Field("all", pattern="^(all|linear|conv)$")


class LoraOptions(PeftOptions):
    """`rank` r; `alpha`: the change is scaled by alpha / r; `dropout` before it."""

    rank: int = Field(8, ge=1, le=1024)
    alpha: float = Field(16.0, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)


class DoraOptions(LoraOptions):
    """The same, for linear layers."""

    layers: str = Field("linear", pattern="^linear$")


class _Peft(Strategy):
    """Freeze the backbone, train what peft adds to its layers, and the head.

    Convolutions in groups are left out: a low rank across groups has no meaning there. At the
    first step the network is as it was.
    """

    claims = frozenset({"adapters", "trainable"})
    options_model: Any = PeftOptions
    options: Any

    @abstractmethod
    def config(self, targets: list[str]) -> Any:
        """Return peft's configuration for these modules."""

    def adapt(self, model: Model, ctx: StrategyContext) -> Model:
        """Let peft replace the layers.

        Raises:
            RequestError: There is none of the kind that was asked for.
        """
        targets = layers_of(model.backbone, self.options.layers)
        if not targets:
            raise RequestError(
                f"strategy {self.name!r}: the backbone has no {self.options.layers} layer that an "
                "adapter fits; choose other layers (all, linear, conv)"
            )
        before = {name for name, _ in model.backbone.named_parameters()}
        inject_adapter_in_model(self.config(targets), model.backbone)
        self._added = frozenset(
            f"backbone.{name}"
            for name, _ in model.backbone.named_parameters()
            if name.replace(".base_layer", "") not in before
        )
        ctx.measures["adapted_layers"] = float(len(targets))
        return model

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        added = self._added
        return [Stage(name="train", trainable=lambda name: name in added or ctx.is_head(name))]


def layers_of(backbone: nn.Module, layers: str) -> list[str]:
    """Return the names of linear layers and of convolutions in one group."""
    found = []
    for name, module in backbone.named_modules():
        is_linear = isinstance(module, nn.Linear)
        is_conv = isinstance(module, nn.Conv2d) and module.groups == 1
        if (is_linear and layers != "conv") or (is_conv and layers != "linear"):
            found.append(name)
    return found


class Lora(_Peft):
    """W + (alpha / r) B A, A at random and B zero at first.

    Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1, by
    peft; convolutions get a convolution of r channels and one of 1 x 1.
    """

    name = "lora"
    summary = "train low-rank changes of frozen layers, and the head"
    options_model = LoraOptions
    argument = "rank"
    _variant: dict[str, bool] = {}

    def config(self, targets: list[str]) -> Any:
        """Return LoRA's configuration."""
        return LoraConfig(
            r=self.options.rank,
            lora_alpha=self.options.alpha,  # type: ignore[arg-type]
            lora_dropout=self.options.dropout,
            target_modules=targets,
            **self._variant,
        )


class RsLora(Lora):
    """LoRA scaled by alpha / sqrt(r).

    Source: Kalajdzievski 2023, "A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA".
    """

    name = "rslora"
    summary = "lora, scaled by alpha / sqrt(r)"
    _variant = {"use_rslora": True}


class Dora(Lora):
    """m (W + (alpha / r) B A) / ||W + (alpha / r) B A||: LoRA of the direction, m trained apart.

    Linear layers alone: peft's norms of kernels do not fit the memory format of convolutions here.

    Source: Liu et al. 2024, "DoRA: Weight-Decomposed Low-Rank Adaptation", equation 5. peft
    computes the norm anew at each step; the first step is as before within float32 rounding.
    """

    name = "dora"
    summary = "lora on directions of linear layers, magnitudes trained apart"
    options_model = DoraOptions
    _variant = {"use_dora": True}


class RankOptions(PeftOptions):
    """`rank` r; `alpha`: the change is scaled by alpha / r."""

    rank: int = Field(8, ge=1, le=1024)
    alpha: float = Field(8.0, gt=0)


class Loha(_Peft):
    """W + (alpha / r) (B1 A1) * (B2 A2), entry by entry.

    Source: Hyeon-Woo et al. 2022, "FedPara: Low-Rank Hadamard Product for Communication-Efficient
    Federated Learning", by peft (LyCORIS).
    """

    name = "loha"
    summary = "train Hadamard products of low-rank changes, and the head"
    options_model = RankOptions
    argument = "rank"

    def config(self, targets: list[str]) -> Any:
        """Return LoHa's configuration."""
        return LoHaConfig(r=self.options.rank, alpha=self.options.alpha, target_modules=targets)  # type: ignore[arg-type]


class Lokr(_Peft):
    """W + (alpha / r) C (x) (B A), the Kronecker product.

    Source: Yeh et al. 2024, "Navigating Text-To-Image Customization: From LyCORIS Fine-Tuning to
    Model Evaluation", section 3.2, by peft.
    """

    name = "lokr"
    summary = "train Kronecker products of low-rank changes, and the head"
    options_model = RankOptions
    argument = "rank"

    def config(self, targets: list[str]) -> Any:
        """Return LoKr's configuration."""
        return LoKrConfig(r=self.options.rank, alpha=self.options.alpha, target_modules=targets)  # type: ignore[arg-type]


class Ia3(_Peft):
    """l * (W x), one factor for each output, 1 at first.

    Source: Liu et al. 2022, "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than
    In-Context Learning", section 3.3; there on keys, values and the feed-forward layer.
    """

    name = "ia3"
    summary = "train a scale for each output of frozen layers, and the head"

    def config(self, targets: list[str]) -> Any:
        """Return (IA)^3's configuration."""
        return IA3Config(target_modules=targets, feedforward_modules=[])
