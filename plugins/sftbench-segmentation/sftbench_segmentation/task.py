"""A class for each pixel: heads, cross-entropy, confusion matrices, and mean IoU first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sftbench.api import (
    BatchContext,
    BatchSource,
    ClassResult,
    DatasetInfo,
    Examples,
    Network,
    Predictions,
    RequestError,
    Task,
)
from sftbench_segmentation import confusion

if TYPE_CHECKING:
    from torch import Tensor, nn


class Segmentation(Task):
    """Outputs are logits float32 [B, C, S, S], of as many pixels as the images have.

    The truth of a data set (`Examples.truth`) is a mask uint8 [N, H, W] of class indices, 255 where
    a pixel is ignored; its targets int64 [N] name one class of each image, by which splits are
    stratified; its class counts int64 [N, C] say in 0 and 1 which classes an image has, so that
    training counts are images.

    What is kept of an image is its confusion matrix, C x C counts of pixels, and the sum of its
    pixels' losses: every metric follows exactly, and no pixel is stored.
    """

    name = "segmentation"
    summary = "a class for each pixel"
    metrics: ClassVar[tuple[str, ...]] = (
        "mean_iou",
        "worst_class_iou",
        "pixel_accuracy",
        "mean_accuracy",
    )
    reasons: ClassVar[frozenset[str]] = frozenset(
        {
            "DIVERGED",
            "RESOURCE",
            "CRASHED",
            "NO_LEARNING",
            "NEGATIVE_TRANSFER",
            "OVERFIT",
            "UNSTABLE",
        }
    )
    labels: ClassVar[bool] = False
    mixes: ClassVar[bool] = False
    augments: ClassVar[frozenset[str] | None] = frozenset({"none", "flip", "crop"})

    def head(self, feature_width: int, info: DatasetInfo) -> nn.Module:
        """Refuse: a width says nothing of where features lie.

        Raises:
            RequestError: Always.
        """
        raise RequestError(
            "task 'segmentation' needs a network of feature maps: fcn:BODY, deeplabv3:BODY, "
            "lraspp:BODY or unet:BODY"
        )

    def head_for(
        self, network: Network, info: DatasetInfo, source: Mapping[str, Tensor] | None
    ) -> nn.Module:
        """Build the head that the network names, from its packed maps [B, L] to logits.

        Raises:
            RequestError: The network is of another plugin and names none.
        """
        build = getattr(network, "segmentation_head", None)
        if build is None:
            return self.head(network.feature_width, info)
        head: nn.Module = build(info.num_classes)
        return head

    def loss(self, outputs: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        """Return the mean cross-entropy of the pixels that have a class; 0 where none has.

        Args:
            outputs: Logits float [B, C, S, S].
            targets: Masks int64 [B, S, S], 255 ignored.
            label_smoothing: Of the protocol.
        """
        from sftbench_segmentation.outputs import pixel_loss

        return pixel_loss(outputs, targets, label_smoothing)

    def kept(self, outputs: Any, targets: Any) -> Tensor:
        """Return float32 [B, C C + 1]: each image's confusion matrix and its summed loss."""
        from sftbench_segmentation.outputs import kept

        return kept(outputs, targets)

    def batches(self, examples: Examples, ctx: BatchContext) -> BatchSource:
        """Bring images and masks to the device.

        Raises:
            RequestError: The data set has no masks.
        """
        from sftbench_segmentation.batches import MaskBatches

        if examples.truth is None:
            raise RequestError("task 'segmentation': the data set has no masks")
        return MaskBatches(np.asarray(examples.inputs), np.asarray(examples.truth), ctx)

    def validation_loss(self, predictions: Predictions) -> float | None:
        """Return the mean cross-entropy of a pixel in nats."""
        return confusion.mean_loss(predictions)

    def statistics(self, predictions: Predictions) -> NDArray[np.float64]:
        """Return float64 [N, 2 C]: pixels of intersection and union of each class."""
        return confusion.class_sums(confusion.matrices(predictions))

    def primary_from_sums(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean IoU of summed intersections and unions."""
        return confusion.mean_iou(sums)

    def per_class(
        self, predictions: Predictions, info: DatasetInfo, train_counts: NDArray[np.int64]
    ) -> tuple[ClassResult, ...]:
        """Return images with the class, the mean share of it found in them, and its IoU (`score`).

        Counts are of images, because pixels of one image are no independent trials. So NO_LEARNING
        counts a class in an image as one example, found as far as its pixels are.
        """
        each = confusion.matrices(predictions)
        shares = confusion.recalls(each)
        support = (~np.isnan(shares)).sum(axis=0)
        found = np.nansum(shares, axis=0)
        scores = confusion.ious(confusion.class_sums(each).sum(axis=0))
        return tuple(
            ClassResult(
                label=label,
                train_count=int(train_counts[index]),
                support=int(support[index]),
                recall=float(found[index] / support[index]) if support[index] else None,
                score=None if np.isnan(scores[index]) else float(scores[index]),
            )
            for index, label in enumerate(info.class_names)
        )
