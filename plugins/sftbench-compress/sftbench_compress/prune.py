"""Pruning by a mask: the smallest weights become zeros and stay so."""

from __future__ import annotations

import copy
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from sftbench.api import BackboneInfo, DatasetInfo, Model, Options, Stage, Strategy, StrategyContext
from sftbench_compress.int8 import CONVOLUTIONS
from sftbench_compress.measuring import (
    check_validation,
    compared,
    measure,
    reason_against,
    slower,
)

Masks = list[tuple[nn.Module, str, Tensor]]


class PruneOptions(Options):
    """How much leaves, and how the rest recovers.

    `amount`: share of the weights that become zero. `recovery_share`: share of the budget that
    comes after. `rate_scale`: learning rates then, as a multiple of the protocol's.
    """

    amount: float = Field(0.5, gt=0, lt=1)
    recovery_share: float = Field(0.25, gt=0, lt=1)
    rate_scale: float = Field(1.0, gt=0)


class Prune(Strategy):
    """Fine-tune everything, set the smallest weights to zero, and train on with the others.

    The share `amount` of smallest absolute weights is taken over all convolutions and linear layers
    together, the head included; biases and norms stay. Zeros are zeros again after each step. A
    mask makes a model neither smaller nor faster: the record has what was measured.

    Source: Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks",
    section 3, in one iteration, with one threshold for all layers; torch.nn.utils.prune.
    """

    name = "prune"
    summary = "full, then on without the share AMOUNT of smallest weights"
    claims = frozenset({"trainable", "final", "compression"})
    options_model = PruneOptions
    options: PruneOptions
    argument = "amount"

    def supports(self, task: str, backbone: BackboneInfo, dataset: DatasetInfo) -> str | None:
        """Return a reason against other tasks than classification of images."""
        return reason_against(self.name, dataset, backbone)

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return training and recovery."""
        check_validation(self.name, ctx)
        share = self.options.recovery_share
        masks: Masks = []

        def prepare(model: Model, _ctx: StrategyContext) -> None:
            self._before = copy.deepcopy(model)
            masks[:] = mask(model, self.options.amount)

        def after_step(_model: Model, _step: int) -> None:
            hold(masks)

        return [
            Stage(name="train", share=1 - share),
            Stage(
                name="recover",
                share=share,
                prepare=prepare,
                after_step=after_step,
                rule=slower(self.options.rate_scale),
            ),
        ]

    def finalise(self, model: Model, ctx: StrategyContext) -> Model:
        """Measure what came out."""
        before, after = measure(self._before, model, ctx)
        weights = [getattr(module, name) for module, name in prunable(model)]
        zeros = sum(int((weight == 0).sum()) for weight in weights)
        share = zeros / sum(weight.numel() for weight in weights)
        ctx.measures["zero_share"] = share
        ctx.remarks.append(
            f"a mask of {100 * share:.3g} % zeros: {compared(before, after)}; zeros are "
            "stored and multiplied like any other number"
        )
        return model


def prunable(model: nn.Module) -> list[tuple[nn.Module, str]]:
    """Return the weights of convolutions, linear layers and attention, as modules and names."""
    found: list[tuple[nn.Module, str]] = []
    for module in model.modules():
        if isinstance(module, (*CONVOLUTIONS, nn.Linear)):
            found.append((module, "weight"))
        elif isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
            found.append((module, "in_proj_weight"))
    return found


def mask(model: nn.Module, amount: float) -> Masks:
    """Set the share `amount` of smallest weights to zero; return what each is to be held by.

    Parameters keep their names and their order in memory, so torch's pruning sees copies: it would
    rename them, and does not know channels-last ones.
    """
    places = prunable(model)
    copies: list[Any] = [nn.Module() for _ in places]
    for one, (module, name) in zip(copies, places, strict=True):
        one.weight = nn.Parameter(getattr(module, name).detach().contiguous())
    pruning: Any = torch_prune  # it has no types
    pruning.global_unstructured(
        [(one, "weight") for one in copies], pruning_method=pruning.L1Unstructured, amount=amount
    )
    masks = [(*place, one.weight_mask) for place, one in zip(places, copies, strict=True)]
    hold(masks)
    return masks


def hold(masks: Masks) -> None:
    """Set what is masked to zero again."""
    with torch.no_grad():
        for module, name, kept in masks:
            getattr(module, name).mul_(kept)
