"""Outputs of a model on a split, as they are kept."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from sftbench.contracts.task import Predictions
from sftbench.engine.feature_rows import FeatureRows
from sftbench.engine.runtime import autocast
from sftbench.engine.splits import SplitData
from sftbench.models.freezing import set_modes
from sftbench.models.model import Model
from sftbench.protocol import Precision

_BATCH = 64


def predict(
    model: Model,
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
        split: The official split.
        indices: int64 [N], positions in it.
        precision: Of the passes; outputs are kept as float32.
        rows: Outputs of its first k blocks on this split, in place of the inputs.
        k: How many blocks `rows` stands for.
    """
    model.eval()
    parts: list[NDArray[np.float32]] = []
    try:
        with torch.no_grad():
            for start in range(0, len(indices), _BATCH):
                chunk = torch.from_numpy(indices[start : start + _BATCH])
                h = split.source.inputs(chunk, "plain", None) if rows is None else rows[chunk]
                with autocast(h.device, precision):
                    outputs, _ = model.outputs(h, k if rows is not None else 0)
                parts.append(outputs.float().cpu().numpy())
    finally:
        set_modes(model)
    return Predictions(
        index=indices,
        targets=split.targets[indices],
        outputs=np.concatenate(parts).astype(np.float32, copy=False),
    )
