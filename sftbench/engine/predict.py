"""Outputs of a model on a split, as they are kept."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from sftbench.contracts.task import Predictions, Task
from sftbench.engine.feature_rows import FeatureRows
from sftbench.engine.runtime import autocast
from sftbench.engine.splits import SplitData
from sftbench.models.freezing import set_modes
from sftbench.models.model import Model
from sftbench.protocol import Precision

_BATCH = 64


def predict(
    model: Model,
    task: Task,
    split: SplitData,
    indices: NDArray[np.int64],
    precision: Precision,
    *,
    rows: FeatureRows | None = None,
    k: int = 0,
) -> Predictions:
    """Run a model in eval mode, without gradients, on plain views.

    Args:
        model: It is given back in the modes that its trainable parameters ask for.
        task: Says what is kept of the outputs.
        split: The official split.
        indices: int64 [N], positions in it.
        precision: Of the passes.
        rows: Outputs of its first k blocks on this split, in place of the inputs.
        k: How many blocks `rows` stands for.
    """
    model.eval()
    device = next(model.parameters()).device
    parts: list[NDArray[np.float32]] = []
    try:
        with torch.no_grad():
            for start in range(0, len(indices), _BATCH):
                some = indices[start : start + _BATCH]
                chunk = torch.from_numpy(some)
                h = split.source.inputs(chunk, "plain", None) if rows is None else rows[chunk]
                labels = torch.from_numpy(split.targets[some]).to(device)
                targets = split.batch_targets(chunk, labels)
                with autocast(device, precision):
                    given, _ = model.outputs(h, k if rows is not None else 0)
                    parts.append(task.kept(given, targets).float().cpu().numpy())
    finally:
        set_modes(model)
    return Predictions(
        index=indices,
        targets=split.targets[indices],
        outputs=np.concatenate(parts).astype(np.float32, copy=False),
    )
