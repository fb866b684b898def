"""Which two views are of one image: pretraining without labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from sftbench.api import BatchContext, BatchSource, DatasetInfo, Examples, Predictions, Task
from sftbench.evaluation import contrastive

if TYPE_CHECKING:
    from torch import Tensor, nn

_WIDTH = 128  # of the projections, as in the paper
TEMPERATURE = 0.5  # the paper's for small images (its table 5 and appendix B.9)


class Contrastive(Task):
    """SimCLR: projections of two views of one image are close, those of other images are far.

    A batch of B examples is 2 B images, first all first views, then all second views. Outputs are
    float32 [B, 256]: the projections of both views side by side.

    Source: Chen et al. 2020, arXiv:2002.05709, equation 1. Here the projection head is the paper's
    (two layers), the views are its random crop, flip, colour jitter and grey without the blur.
    """

    name = "contrastive"
    summary = "which two views are of one image: pretraining without labels"
    metrics: ClassVar[tuple[str, ...]] = ("view_retrieval",)
    reasons: ClassVar[frozenset[str]] = frozenset({"DIVERGED", "RESOURCE", "CRASHED", "UNSTABLE"})
    num_views: ClassVar[int] = 2
    labels: ClassVar[bool] = False

    def head(self, feature_width: int, info: DatasetInfo) -> nn.Module:
        """Return the projection head: features [2 B, D] to projections [B, 256]."""
        from sftbench.builtin.tasks.views import PairProjection

        return PairProjection(feature_width, _WIDTH)

    def loss(self, outputs: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        """Return NT-Xent over the batch; targets and smoothing do not count."""
        from sftbench.builtin.tasks.views import nt_xent

        return nt_xent(outputs, TEMPERATURE)

    def batches(self, examples: Examples, ctx: BatchContext) -> BatchSource:
        """Bring uint8 images [N, H, W, C] to the device; inputs are 2 B for B indices."""
        from sftbench.builtin.tasks.views import PairBatches

        return PairBatches(np.asarray(examples.inputs), ctx)

    def validation_loss(self, predictions: Predictions) -> float:
        """Return NT-Xent over the whole split."""
        return contrastive.nt_xent(predictions.outputs, TEMPERATURE)

    def statistics(self, predictions: Predictions) -> NDArray[np.float64]:
        """Return float64 [N, 2]: whether the second view was found, and one."""
        hits = contrastive.retrieved(predictions.outputs)
        return np.stack([hits, np.ones_like(hits)], axis=1)

    def primary_from_sums(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of images whose second view was found."""
        return np.asarray(sums[..., 0] / sums[..., 1])
