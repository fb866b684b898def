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
    """

    def task_loss(outputs: Any, truth: Any) -> Tensor:
        return ws.task.loss(outputs, truth, ws.protocol.label_smoothing)

    if stage.loss is None:
        return task_loss(logits, targets)
    return stage.loss(
        StepOutput(
            logits=logits,
            features=features,
            targets=targets,
            model=ws.model,
            initial=ws.initial,
            streams=streams or {},
            task_loss=task_loss,
            progress=progress,
        )
    )
