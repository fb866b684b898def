"""Linear heads of L rates x S seeds as tensors: their outputs, losses, steps and states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import vmap

from sftbench.engine.optimizers import Recipe, optimizer_over, set_rates
from sftbench.engine.runtime import autocast
from sftbench.protocol import Protocol

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Maps logits [B, C], features [B, D] and targets int64 [B] to the mean loss."""

Signature = tuple[Recipe, Recipe]
"""How weight and bias of a head train."""

_CLIP_FLOOR = 1e-6  # as in torch.nn.utils.clip_grad_norm_


class HeadBank:
    """A grid of heads [D -> C]; seeds have data of their own, rates share it.

    Args:
        heads: For each rate the heads of all seeds.
        signatures: For each rate.
        protocol: Optimiser, clipping, precision.
    """

    def __init__(
        self,
        heads: Sequence[Sequence[nn.Linear]],
        signatures: Sequence[Signature],
        protocol: Protocol,
    ) -> None:
        self._protocol = protocol
        # [S, C, D] and [S, C] for each rate.
        self._weights: list[Tensor] = [_stacked([head.weight for head in row]) for row in heads]
        self._biases: list[Tensor] = [_stacked([head.bias for head in row]) for row in heads]
        trained = []
        for weight, bias, (of_weight, of_bias) in zip(
            self._weights, self._biases, signatures, strict=True
        ):
            trained += [(weight, of_weight), (bias, of_bias)]
        self._optimizer = optimizer_over(trained, protocol)

    def set_rates(self, factor: float, swing: float) -> None:
        """Set the learning rates of the next step."""
        set_rates(self._optimizer, factor, swing)

    def step(self, features: Tensor, targets: Tensor, loss: Loss) -> Tensor:
        """Take one step of every head and return its losses, float [L, S].

        Args:
            features: [S, B, D].
            targets: int64 [S, B].
            loss: Of one head.
        """
        over_seeds = vmap(loss)
        over_rates = vmap(over_seeds, in_dims=(0, None, None))
        with autocast(features.device, self._protocol.precision):
            weight = torch.cat(self._weights, dim=1)  # [S, L C, D]
            bias = torch.cat(self._biases, dim=1)
            flat = torch.baddbmm(bias.unsqueeze(1), features, weight.transpose(1, 2))
            logits = flat.view(*flat.shape[:2], len(self._weights), -1).permute(2, 0, 1, 3)
            losses: Tensor = over_rates(logits, features, targets)
        # Each loss depends on its own head alone, so this gives every head its own gradient.
        torch.autograd.backward(losses.sum())
        self._clip()
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return losses.detach()

    def outputs(self, features: Tensor, seed: int) -> Tensor:
        """Return float32 [L, N, C] of features [N, D], by the heads of one seed."""
        with torch.no_grad(), autocast(features.device, self._protocol.precision):
            weight = torch.cat([one[seed] for one in self._weights])
            bias = torch.cat([one[seed] for one in self._biases])
            flat = nn.functional.linear(features, weight, bias)
        return flat.float().view(len(flat), len(self._weights), -1).permute(1, 0, 2)

    def state(self, rate: int, seed: int) -> Mapping[str, Tensor]:
        """Return a copy of one head's tensors by their names in the model."""
        return {
            "head.weight": self._weights[rate][seed].detach().clone(),
            "head.bias": self._biases[rate][seed].detach().clone(),
        }

    def _clip(self) -> None:
        """Bound the gradient norm of each head, as `clip_grad_norm_` does for one."""
        bound = self._protocol.clip_norm
        if bound is None:
            return
        for weight, bias in zip(self._weights, self._biases, strict=True):
            grads = [p.grad for p in (weight, bias) if p.grad is not None]
            squares = torch.stack([grad.flatten(1).pow(2).sum(1) for grad in grads])
            scale = (bound / (squares.sum(0).sqrt() + _CLIP_FLOOR)).clamp(max=1.0)
            for grad in grads:
                grad.mul_(scale.view(-1, *[1] * (grad.ndim - 1)))


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    return nn.Parameter(torch.stack([tensor.detach() for tensor in tensors]))
