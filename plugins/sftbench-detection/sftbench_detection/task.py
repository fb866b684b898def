"""The task: boxes and classes of objects, scored by COCO's AP."""

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

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sftbench_detection.batches import Truth
    from sftbench_detection.heads import Outputs


class Detection(Task):
    """Find each object's box and class. What is kept of an image is described in `layout`.

    The head is a feature pyramid and a detector of torchvision's; the backbone says which. Label
    smoothing means nothing to its losses. The primary metric is AP; `statistics` give it within
    `tolerance`, which the bootstrap, the choice of an epoch and nothing else rest on.
    """

    name = "detection"
    summary = "boxes and classes of objects; COCO's AP"
    metrics: ClassVar[tuple[str, ...]] = (
        "ap",
        "ap50",
        "ap75",
        "ap_small",
        "ap_medium",
        "ap_large",
        "ar100",
    )
    reasons: ClassVar[frozenset[str]] = frozenset(
        {"DIVERGED", "RESOURCE", "CRASHED", "NEGATIVE_TRANSFER", "MINORITY_COLLAPSE", "UNSTABLE"}
    )
    labels: ClassVar[bool] = False
    mixes: ClassVar[bool] = False
    tolerance: ClassVar[float] = 0.03
    augments: ClassVar[frozenset[str] | None] = frozenset({"none", "flip"})

    def head(self, feature_width: int, info: DatasetInfo) -> nn.Module:
        """Refuse: a width does not say where things are.

        Raises:
            RequestError: Always.
        """
        raise RequestError(
            "task 'detection' needs a backbone that gives feature maps: fcos:BODY, retinanet:BODY, "
            "fasterrcnn:BODY or ssdlite:BODY"
        )

    def head_for(
        self, network: Network, info: DatasetInfo, source: Mapping[str, Tensor] | None
    ) -> nn.Module:
        """Build the detector that the network was built for.

        Raises:
            RequestError: The network gives no feature maps.
        """
        from sftbench_detection.detectors import build_head

        body: Any = network
        if not hasattr(body, "detector"):
            return self.head(network.feature_width, info)
        return build_head(body.detector, body.levels, info.num_classes, body.image_size)

    def loss(self, outputs: Outputs, targets: Truth, label_smoothing: float) -> Tensor:
        """Return the sum of the detector's losses, each a mean over the batch."""
        return outputs.loss(targets)

    def kept(self, outputs: Outputs, targets: Truth) -> Tensor:
        """Return detections and truth, float32 [B, W], as `layout` describes."""
        from sftbench_detection.keeping import kept_rows

        return kept_rows(outputs.detections(), targets)

    def batches(self, examples: Examples, ctx: BatchContext) -> BatchSource:
        """Bring images uint8 [N, S, S, C] and their truth to the device."""
        from sftbench_detection.batches import BoxBatches

        return BoxBatches(examples, ctx)

    def validation_loss(self, predictions: Predictions) -> None:
        """Return None: what is kept says nothing of the losses."""
        return

    def statistics(self, predictions: Predictions) -> NDArray[np.float64]:
        """Return float64 [N, K]: counts by class, bin of scores and overlap."""
        from sftbench_detection.statistics import of_images

        return of_images(predictions.outputs)

    def primary_from_sums(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return AP of summed statistics, within `tolerance`."""
        from sftbench_detection.statistics import ap_from_sums

        return ap_from_sums(sums)

    def per_class(
        self, predictions: Predictions, info: DatasetInfo, train_counts: NDArray[np.int64]
    ) -> tuple[ClassResult, ...]:
        """Return objects, recall and AP of each class.

        The recall is of `statistics.found_first`: among as many detections as an image has objects.
        """
        from sftbench_detection import coco
        from sftbench_detection.statistics import found_first

        support, found = found_first(predictions.outputs)
        scores = coco.summary(predictions.outputs).class_ap()
        return tuple(
            ClassResult(
                label=label,
                train_count=int(train_counts[place]),
                support=int(support[place]),
                recall=float(found[place] / support[place]) if support[place] else None,
                score=scores[place],
            )
            for place, label in enumerate(info.class_names)
        )
