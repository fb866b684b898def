"""One optimiser step: forward, backward, apply; mixed precision, clipping, counting."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sftbench.contracts.strategy import Stage
from sftbench.data.augment.mix import Mix
from sftbench.engine.losses import stage_loss
from sftbench.engine.mixing import Mixer
from sftbench.engine.runtime import autocast
from sftbench.engine.streams import StreamBatch
from sftbench.engine.workspace import Workspace
from sftbench.models.model import Model


class EngineStep:
    """The engine's `sftbench.api.Step`.

    Args:
        ws: The cell.
        stage: Its loss.
        parameters: Those that train.
        optimizer: With its rates set.
        inputs: Model inputs [B, ...], or outputs of the first `k` blocks.
        targets: What the loss compares with, in the task's form; int64 [B] for classification.
        size: B.
        k: How many blocks the inputs stand for.
        streams: Inputs of the stage's streams.
        progress: Share of the stage done.
        mixer: Mixes the inputs; None: nobody does.
    """

    def __init__(
        self,
        ws: Workspace,
        stage: Stage,
        parameters: Sequence[nn.Parameter],
        optimizer: torch.optim.Optimizer,
        *,
        inputs: Tensor,
        targets: Any,
        size: int,
        k: int,
        streams: Mapping[str, StreamBatch],
        progress: float,
        mixer: Mixer | None = None,
    ) -> None:
        self._ws = ws
        self._stage = stage
        self._optimizer = optimizer
        self._inputs = inputs
        self._mix: Mix | None = None
        if mixer is not None:
            self._inputs, self._mix = mixer(inputs)
        self._targets = targets
        self._k = k
        self._streams = streams
        self._progress = progress
        self.parameters = parameters
        self.first_loss: Tensor | None = None
        self.num_applied = 0
        # The last batch of a stage may have another size than all before.
        self._size = size
        self._is_full = size == ws.protocol.batch_size
        self._compiles = ws.forward.is_new(ws.model, inputs, k, full=self._is_full)

    @property
    def model(self) -> Model:
        """The model that trains."""
        return self._ws.model

    @property
    def num_examples(self) -> int:
        """Inputs in one pass: the target's and the streams' views."""
        return self._ws.task.num_views * self._size + sum(
            len(view) for stream in self._streams.values() for view in stream.views
        )

    def loss(self) -> Tensor:
        """Run forward and return the stage's loss, a scalar."""
        ws = self._ws
        with self._compiling(), autocast(ws.device, ws.protocol.precision):
            logits, features = ws.forward(ws.model, self._inputs, self._k, full=self._is_full)
            streams = {
                name: part.outputs(ws.model, ws.forward, full=self._is_full)
                for name, part in self._streams.items()
            }

            def loss_of(targets: Any) -> Tensor:
                return stage_loss(
                    ws,
                    self._stage,
                    logits,
                    features,
                    targets,
                    streams=streams,
                    progress=self._progress,
                    inputs=self._inputs,
                )

            loss = loss_of(self._targets)
            if self._mix is not None:
                # Of cross-entropy this is the loss of the labels' mixture.
                lam = self._mix.lam
                loss = lam * loss + (1.0 - lam) * loss_of(self._targets[self._mix.partner])
        calls = 1 if self._mix is None else 2
        ws.work.forward += (1 + calls * self._stage.loss_passes) * self.num_examples
        if self.first_loss is None:
            self.first_loss = loss.detach()
        return loss

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss`."""
        with self._compiling():
            torch.autograd.backward(loss)
        self._compiles = False
        self._ws.work.backward += self.num_examples

    def apply(self) -> None:
        """Clip, take one optimiser step, and clear the gradients."""
        clip = self._ws.protocol.clip_norm
        if clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, clip)
        self._optimizer.step()
        self.zero_grad()
        self.num_applied += 1

    def zero_grad(self) -> None:
        """Clear the gradients."""
        self._optimizer.zero_grad(set_to_none=True)

    @contextlib.contextmanager
    def frozen_statistics(self) -> Iterator[None]:
        """Run what is inside without updating batch-norm statistics."""
        norms = [m for m in self.model.modules() if isinstance(m, _BatchNorm) and m.training]
        kept = [(norm, norm.track_running_stats) for norm in norms]
        buffers = [(norm.running_mean, norm.running_var) for norm in norms]
        # Without running statistics a norm in train mode still uses those of the batch.
        for norm in norms:
            norm.running_mean = norm.running_var = None
            norm.track_running_stats = False
        try:
            yield
        finally:
            for (norm, tracked), (mean, var) in zip(kept, buffers, strict=True):
                norm.track_running_stats = tracked
                norm.running_mean, norm.running_var = mean, var

    def _compiling(self) -> AbstractContextManager[object]:
        """Count a pass that compiles for itself, not for training."""
        return self._ws.clock.measure("compile") if self._compiles else contextlib.nullcontext()


def default_update(step: EngineStep) -> None:
    """Run one forward, one backward, one step."""
    step.backward(step.loss())
    step.apply()
