"""Augmentation of a whole batch, by what is asked for."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch

from benchmarks.conftest import BATCH, Build
from sftbench.protocol import Protocol

_KNOWN: tuple[str, ...] = get_args(Protocol.model_fields["augment"].annotation)


@pytest.mark.parametrize("augment", _KNOWN)
@pytest.mark.parametrize("view", ["plain", "weak", "strong"])
def test_batch(benchmark: Any, workspace: Build, augment: str, view: str) -> None:
    """A batch of resized images: nothing, crop and flip, TrivialAugment on top."""
    source = workspace("full", augment=augment).data.train.source
    indices, generator = torch.arange(BATCH), torch.Generator().manual_seed(0)
    benchmark(source.inputs, indices, view, generator)
