"""The loss of one stage on one batch: the strategy's, or the task's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sftbench.contracts.strategy import Stage, StepOutput, StreamOutput
from sftbench.engine.workspace import Workspace


def stage_loss(
    ws: Workspace,
    stage: Stage,
    logits: Any,
    features: Tensor,
    targets: Any,
    *,
    streams: Mapping[str, StreamOutput] | None = None,
    progress: float = 0.0,
    inputs: Any = None,
) -> Tensor:
    """Return the mean loss, a scalar.

    Args:
        ws: The cell.
        stage: Its own loss, or None for the task's.
        logits: Output of the head, [B, C] for classification.
        features: Output of the backbone [B, D].
        targets: int64 [B] for classification.
        streams: Outputs of the stage's streams, by name.
        progress: Share of the stage done.
        inputs: What the model was given.
    """
    smoothing = (
        ws.protocol.label_smoothing if stage.label_smoothing is None else stage.label_smoothing
    )

    def task_loss(outputs: Any, truth: Any) -> Tensor:
        return ws.task.loss(outputs, truth, smoothing)

    if stage.loss is None and stage.penalty is None:
        return task_loss(logits, targets)
    output = StepOutput(
        logits=logits,
        features=features,
        targets=targets,
        model=ws.model,
        initial=ws.initial,
        streams=streams or {},
        task_loss=task_loss,
        progress=progress,
        inputs=inputs,
    )
    loss = task_loss(logits, targets) if stage.loss is None else stage.loss(output)
    return loss if stage.penalty is None else loss + stage.penalty(output)
