"""Weights as int8: after training, or with the rounding in training."""

from __future__ import annotations

import copy
from typing import Literal

from pydantic import Field
from torch import nn
from torchao.quantization import (
    Int8DynamicActivationInt8WeightConfig,
    Int8WeightOnlyConfig,
    quantize_,
)

from sftbench.api import BackboneInfo, DatasetInfo, Model, Options, Stage, Strategy, StrategyContext
from sftbench_compress.int8 import end_rounding, round_in_training, store_convolutions
from sftbench_compress.measuring import (
    check_validation,
    compared,
    measure,
    reason_against,
    slower,
)

Mode = Literal["int8-weight", "int8-dynamic"]


class QuantizeOptions(Options):
    """What is kept as int8.

    `mode`: `int8-weight` keeps the weights of linear layers as int8; `int8-dynamic` multiplies in
    int8 too, rounding a layer's inputs as they come. `convolutions`: whether their weights are
    kept as int8.
    """

    mode: Mode = "int8-weight"
    convolutions: bool = True


class Quantize(Strategy):
    """Fine-tune everything, then keep the selected model's weights as int8.

    Linear layers are torchao's, a scale for each output. torchao has no int8 convolution: their
    weights are kept the same way and multiplied out in each pass, in both modes, which makes the
    model smaller and not faster. The record says how many of the parameters are int8.

    Source: torchao, Int8WeightOnlyConfig and Int8DynamicActivationInt8WeightConfig of `quantize_`;
    Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", equation 1 with zero point 0.
    """

    name = "quantize"
    summary = "full, then weights as int8"
    claims = frozenset({"trainable", "final", "compression"})
    options_model = QuantizeOptions
    options: QuantizeOptions
    argument = "mode"

    def supports(self, task: str, backbone: BackboneInfo, dataset: DatasetInfo) -> str | None:
        """Return a reason against other tasks than classification of images."""
        return reason_against(self.name, dataset, backbone)

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return one stage."""
        check_validation(self.name, ctx)
        return [Stage(name="train")]

    def finalise(self, model: Model, ctx: StrategyContext) -> Model:
        """Quantise, and measure before and after."""
        before = copy.deepcopy(model)
        share = to_int8(model, self.options.mode, convolutions=self.options.convolutions)
        return _measured(model, ctx, before, share)


class QuantizeQatOptions(Options):
    """How training with rounded weights goes.

    `qat_share`: its share of the budget. `rate_scale`: its learning rates, as a multiple of the
    protocol's.
    """

    qat_share: float = Field(0.25, gt=0, lt=1)
    rate_scale: float = Field(0.1, gt=0)


class QuantizeQat(Strategy):
    """Fine-tune everything, then go on with weights rounded to int8 in every pass, then keep them.

    Weights of linear layers and convolutions are rounded as `quantize:int8-weight` rounds them, so
    that the last stage trains the network that comes out. Activations are not rounded. torchao's
    own QAT knows linear layers alone, so rounding in training is this package's.

    Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", section 3, for weights.
    """

    name = "quantize-qat"
    summary = "full, then on with weights rounded to int8, which stay so"
    claims = frozenset({"trainable", "final", "compression"})
    options_model = QuantizeQatOptions
    options: QuantizeQatOptions

    def supports(self, task: str, backbone: BackboneInfo, dataset: DatasetInfo) -> str | None:
        """Return a reason against other tasks than classification of images."""
        return reason_against(self.name, dataset, backbone)

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return training and training with rounded weights."""
        check_validation(self.name, ctx)
        share = self.options.qat_share

        def prepare(model: Model, _ctx: StrategyContext) -> None:
            self._before = copy.deepcopy(model)
            round_in_training(model)

        return [
            Stage(name="train", share=1 - share),
            Stage(name="qat", share=share, prepare=prepare, rule=slower(self.options.rate_scale)),
        ]

    def finalise(self, model: Model, ctx: StrategyContext) -> Model:
        """Keep the rounded weights, and measure."""
        end_rounding(model)
        share = to_int8(model, "int8-weight", convolutions=True)
        return _measured(model, ctx, self._before, share)


def to_int8(model: nn.Module, mode: Mode, *, convolutions: bool) -> float:
    """Keep weights as int8, in place; return the share of the parameters that are."""
    total = sum(parameter.numel() for parameter in model.parameters())
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    count = sum(module.weight.numel() for module in linear)
    # Inductor's settings are those of the whole process.
    config = (
        Int8WeightOnlyConfig(set_inductor_config=False)
        if mode == "int8-weight"
        else Int8DynamicActivationInt8WeightConfig(set_inductor_config=False)
    )
    quantize_(model, config)
    model.requires_grad_(requires_grad=False)
    if convolutions:
        count += store_convolutions(model)
    return count / total


def _measured(model: Model, ctx: StrategyContext, original: Model, share: float) -> Model:
    before, after = measure(original, model, ctx)
    ctx.measures["quantised_share"] = share
    ctx.remarks.append(f"{100 * share:.3g} % of the parameters are int8: {compared(before, after)}")
    return model
