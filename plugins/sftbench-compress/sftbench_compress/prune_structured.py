"""Pruning by structure: channels leave, and the network is a smaller one."""

from __future__ import annotations

import copy
import warnings
from typing import Any, cast

import torch
import torch_pruning
from pydantic import Field
from torch import Tensor, nn

from sftbench.api import (
    BackboneInfo,
    BlockBackbone,
    DatasetInfo,
    Model,
    Options,
    RequestError,
    Stage,
    Strategy,
    StrategyContext,
)
from sftbench_compress.measuring import (
    check_validation,
    compared,
    measure,
    reason_against,
)


class PruneStructuredOptions(Options):
    """`ratio`: share of channels that leave each layer. `recovery_share`: of the budget, after."""

    ratio: float = Field(0.5, gt=0, lt=1)
    recovery_share: float = Field(0.5, gt=0, lt=1)


class PruneStructured(Strategy):
    """Fine-tune everything, take the smallest channels out of every layer, and train what is left.

    Channels that must leave together (residuals, depthwise convolutions, norms) are one group; the
    groups with the smallest L1 norm leave. Features lose channels too, and the head's inputs with
    them. Parameters and MACs fall roughly by the square of the share that is kept. Where
    Torch-Pruning cannot follow a network (most transformers), the cell fails before it trains.

    Source: Fang et al. 2023, "DepGraph: Towards Any Structural Pruning"; Li et al. 2017, "Pruning
    Filters for Efficient ConvNets", section 3.1, one shot, the same share in every layer.
    """

    name = "prune-structured"
    summary = "full, then on without the share RATIO of each layer's channels"
    claims = frozenset({"trainable", "final", "blocks", "compression"})
    options_model = PruneStructuredOptions
    options: PruneStructuredOptions
    argument = "ratio"

    def supports(self, task: str, backbone: BackboneInfo, dataset: DatasetInfo) -> str | None:
        """Return a reason against other tasks than classification of images."""
        return reason_against(self.name, dataset, backbone)

    def adapt(self, model: Model, ctx: StrategyContext) -> Model:
        """Try on a copy whether this network can be pruned.

        Raises:
            RequestError: It cannot.
        """
        self._pruned(copy.deepcopy(model), ctx)
        return model

    def stages(self, ctx: StrategyContext) -> list[Stage]:
        """Return training and recovery."""
        check_validation(self.name, ctx)
        share = self.options.recovery_share

        def prepare(model: Model, ctx: StrategyContext) -> None:
            self._before = copy.deepcopy(model)
            ctx.measures["macs_before"], ctx.measures["macs_after"] = self._pruned(model, ctx)
            assert ctx.validate is not None  # noqa: S101 - the engine sets it
            ctx.measures["validation_unrecovered"] = ctx.validate(model)

        return [
            Stage(name="train", share=1 - share),
            Stage(name="recover", share=share, prepare=prepare),
        ]

    def finalise(self, model: Model, ctx: StrategyContext) -> Model:
        """Measure what came out."""
        before, after = measure(self._before, model, ctx)
        macs = ctx.measures["macs_after"] / ctx.measures["macs_before"]
        kept = after.parameters / before.parameters
        ctx.remarks.append(
            f"{100 * self.options.ratio:.3g} % of the channels out leave {100 * kept:.3g} % of the "
            f"parameters and {100 * macs:.3g} % of the MACs: {compared(before, after)}; "
            f"before recovery {ctx.measures['validation_unrecovered']:.3f}"
        )
        return model

    def _pruned(self, model: Model, ctx: StrategyContext) -> tuple[float, float]:
        """Prune a model in place; return its MACs of one image before and after."""
        if not isinstance(model.backbone, BlockBackbone):
            kind = type(model.backbone).__name__
            raise RequestError(
                f"strategy {self.name!r} needs a BlockBackbone; this backbone is a {kind}"
            )
        size = int(ctx.protocol.image_size)
        # On the model's device: before training it is still on the CPU.
        image = torch.zeros(1, 3, size, size, device=next(model.parameters()).device)
        try:
            return prune_channels(model, image, self.options.ratio)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            # Torch-Pruning and networks with channels missing raise anything.
            problem = (str(error) or type(error).__name__).splitlines()[0]
            raise RequestError(
                f"strategy {self.name!r}: Torch-Pruning cannot prune this backbone ({problem}); "
                "take a convolutional network"
            ) from error


def prune_channels(model: Model, image: Tensor, ratio: float) -> tuple[float, float]:
    """Take the share `ratio` of channels out of every layer but the last, in place.

    Args:
        model: Its backbone is a `BlockBackbone`, which is made anew. Every parameter trains after.
        image: [1, 3, S, S], on the model's device.
        ratio: Of channels.

    Returns:
        MACs of one image before and after.
    """
    modes = [(module, module.training) for module in model.modules()]
    order = _memory_format(model)
    model.eval()
    model.requires_grad_()  # the graph is found by gradients
    pruning: Any = torch_pruning
    try:
        before, _ = pruning.utils.count_ops_and_params(model, image)
        with torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of parameters outside of layers
            pruning.pruner.MagnitudePruner(
                model,
                image,
                importance=pruning.importance.MagnitudeImportance(p=1),
                pruning_ratio=ratio,
                ignored_layers=_last_layers(model.head),
            ).step()
        after, _ = pruning.utils.count_ops_and_params(model, image)
        network = cast(BlockBackbone, model.backbone).model
        model.backbone = BlockBackbone(network, image.expand(2, -1, -1, -1))
    finally:
        for module, training in modes:
            module.training = training
    model.to(memory_format=order)
    return float(before), float(after)


def _last_layers(head: nn.Module) -> list[nn.Module]:
    """Return the layer whose outputs are the classes."""
    layers: list[nn.Module] = [m for m in head.modules() if isinstance(m, nn.Linear)]
    return layers[-1:]


def _memory_format(model: nn.Module) -> torch.memory_format:
    """Return the order of memory of the convolutions, which pruning does not keep."""
    is_last = any(p.ndim == 4 and not p.is_contiguous() for p in model.parameters())
    return torch.channels_last if is_last else torch.contiguous_format
