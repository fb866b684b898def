"""One label for an image: a linear head, cross-entropy, and accuracy first."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sftbench.api import BatchContext, BatchSource, Classification, Examples
from sftbench.measures import KINDS


class ImageClassification(Classification):
    """Outputs are logits float32 [N, C]; targets int64 [N]; the primary metric is accuracy."""

    name = "image-classification"
    summary = "one label for an image"
    measures: ClassVar[frozenset[str]] = frozenset(KINDS)

    def batches(self, examples: Examples, ctx: BatchContext) -> BatchSource:
        """Bring uint8 images [N, H, W, C] to the device."""
        from sftbench.data.images import ImageBatches

        return ImageBatches(np.asarray(examples.inputs), ctx)
