"""Accuracy on the test split under 15 corruptions at 5 severities each."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from sftbench.contracts.strategy import View
from sftbench.contracts.task import BatchSource
from sftbench.data.images import ImageBatches
from sftbench.engine.splits import SplitData
from sftbench.engine.training import predict_on
from sftbench.evaluation.classification import accuracy
from sftbench.measures import CORRUPTIONS
from sftbench.reliability.corruptions import KINDS, SEVERITIES, corrupt
from sftbench.reliability.subject import Found, Subject
from sftbench.seeding import derive

CORRUPTED: Final = "corrupted"


class CorruptedImages(BatchSource):
    """The images of a split, corrupted anew each time: the same bits for the same image.

    Args:
        images: The split as it is.
        dataset: Its reference, for the seeds.
        kind: Of `KINDS`.
        severity: Of `SEVERITIES`.
    """

    def __init__(self, images: ImageBatches, dataset: str, kind: str, severity: int) -> None:
        self._images = images
        self._dataset = dataset
        self._kind = kind
        self._severity = severity

    def __len__(self) -> int:
        """Return the number of images of the split."""
        return len(self._images)

    def inputs(self, indices: Tensor, view: View, generator: torch.Generator | None) -> Tensor:
        """Return float32 [B, 3, S, S], normalised; there is only the plain view."""
        seeds = [derive(CORRUPTED, 0, self._dataset, self._kind, at) for at in indices.tolist()]
        pixels = self._images.pixels(indices)
        return self._images.normalised(corrupt(pixels, self._kind, self._severity, seeds))


def measure(subject: Subject, _name: str, found: Found) -> None:
    """Test the selected model on each corruption, once, on the images of the test split."""
    ws, data = subject.ws, subject.ws.data
    images = data.test.source
    if not isinstance(images, ImageBatches):
        found.missing(CORRUPTIONS, "the examples are no images that can be had as pixels")
        return
    scores: list[float] = []
    for kind in KINDS:
        for severity in SEVERITIES:
            ws.progress(CORRUPTED, len(scores), len(KINDS) * len(SEVERITIES), {})
            split = SplitData(
                key=f"{data.test.key}:{kind}:{severity}",
                source=CorruptedImages(images, subject.cell.dataset, kind, severity),
                targets=data.test.targets,
            )
            kept = predict_on(ws, subject.model, split, data.test_indices, on_disk=False)
            scores.append(accuracy(kept.outputs, kept.targets))
            found.values[f"{CORRUPTED}:{kind}:{severity}"] = {"accuracy": scores[-1]}
    tested = subject.trained.selected.test
    clean, mean = accuracy(tested.outputs, tested.targets), float(np.mean(scores))
    found.values[CORRUPTED] = {"accuracy": mean, "ratio": mean / clean if clean > 0 else None}
