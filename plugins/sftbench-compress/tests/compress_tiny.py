"""What the tests share: a small vision transformer, and tiny cells."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sftbench.api import Model, Record
from sftbench.testing import run_tiny
from sftbench.testing.tiny import TinyBackbone

MEASURES = ("validation", "saved_bytes", "parameters", "latency_seconds", "images_per_second")


def model_of(backbone: TinyBackbone, size: int = 32) -> Model:
    """Return a model of four classes with random weights, in eval mode."""
    torch.manual_seed(0)
    network = backbone.build(size)
    return Model(network, nn.Linear(network.feature_width, 4)).eval()  # type: ignore[arg-type]


def ran(*components: Any, settings: dict[str, Any] | None = None, **changes: Any) -> Record:
    """Run a tiny cell of three epochs; it ends well."""
    record, _ = run_tiny(*components, settings=settings, **{"epochs": 3, **changes})
    assert record.status == "ok", record.error
    return record


def check_measures(record: Record, before: str, after: str) -> None:
    """See to it that everything was measured, and that the last numbers are the record's."""
    for name in MEASURES:
        for which in (before, after):
            assert record.measures[f"{name}_{which}"] >= 0
            assert name == "validation" or record.measures[f"{name}_{which}"] > 0
    assert record.measures[f"validation_{after}"] == record.value("accuracy", "val")
    assert len(record.remarks) == 1
