"""Batches: from the decoded array, the first time and later, beside a DataLoader over the same."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.conftest import BATCH, IMAGE_SIZE, NUM_IMAGES, Build
from sftbench.api import Dataset
from sftbench.data.loading import load_split
from sftbench.data.row_files import RowForm
from sftbench.discovery import build_catalog
from sftbench.engine.feature_rows import FeatureRows


def test_split(benchmark: Any) -> None:
    """A split that is decoded already, mapped from the cache and checked."""
    dataset: Any = build_catalog(chosen="").create("dataset", "fashion-mnist-mini")
    assert isinstance(dataset, Dataset)
    load_split(dataset, "train", 28, skip_unreadable=False)
    benchmark(load_split, dataset, "train", 28, skip_unreadable=False)


@pytest.mark.parametrize("passes", ["first", "later"])
def test_epoch(benchmark: Any, workspace: Build, passes: str) -> None:
    """An epoch of plain batches; the first one resizes."""

    def epoch(source: Any) -> None:
        for start in range(0, NUM_IMAGES, BATCH):
            source.inputs(torch.arange(start, start + BATCH), "plain", None)

    kept = workspace("full").data.train.source
    epoch(kept)

    def arguments() -> tuple[tuple[Any], dict[str, Any]]:
        return (kept if passes == "later" else workspace("full").data.train.source,), {}

    benchmark.pedantic(epoch, setup=arguments, rounds=5)


def test_epoch_of_images_one_by_one(benchmark: Any, images: Path) -> None:
    """The same epoch as scripts do it: an image of PIL, torchvision's transforms, a DataLoader."""
    from PIL import Image
    from torchvision import transforms

    pixels = np.load(images / "train_images.npy")
    steps: Callable[[Any], torch.Tensor] = transforms.Compose(
        [
            transforms.Resize(IMAGE_SIZE),
            transforms.CenterCrop(IMAGE_SIZE),
            transforms.ToTensor(),
            transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ]
    )

    def collate(batch: list[tuple[torch.Tensor]]) -> torch.Tensor:
        return torch.stack([steps(Image.fromarray(pixels[int(index)])) for (index,) in batch])

    numbers = TensorDataset(torch.arange(NUM_IMAGES))
    loader: Any = DataLoader(numbers, BATCH, collate_fn=collate)  # type: ignore[arg-type]
    benchmark.pedantic(lambda: [batch.shape for batch in loader], rounds=5, warmup_rounds=1)


def test_rows(benchmark: Any) -> None:
    """Gathering a batch of cached features."""
    form = RowForm(dtype="float32", shape=(1280,), num_rows=50_000)
    rows = FeatureRows(form, torch.device("cpu"), 128)
    rows.session = lambda: nullcontext(lambda _indices, num: torch.zeros(num, 1280))
    rows.bring(torch.arange(50_000))
    generator = np.random.default_rng(0)
    benchmark(lambda: rows[torch.from_numpy(generator.integers(0, 50_000, BATCH))])
