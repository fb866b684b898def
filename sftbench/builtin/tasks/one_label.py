"""What all tasks have in common that give each example one class."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from sftbench.api import ClassResult, DatasetInfo, Predictions, Task
from sftbench.evaluation import classification
from sftbench.measures import FORGETTING, OOD

if TYPE_CHECKING:
    from torch import Tensor, nn


class Classification(Task):
    """Outputs are logits float32 [N, C]; targets int64 [N]; the primary metric is accuracy.

    A subclass brings examples to the device, and names metrics that serve it.
    """

    metrics: ClassVar[tuple[str, ...]] = (
        "accuracy",
        "top5_accuracy",
        "balanced_accuracy",
        "macro_f1",
        "worst_class_recall",
        "g_mean",
        "many_recall",
        "medium_recall",
        "few_recall",
        "head_recall",
        "middle_recall",
        "tail_recall",
        "nll",
        "brier",
        "ece",
        "ece_equal_mass",
        "temperature",
        "nll_scaled",
        "ece_scaled",
        "aurc",
        "selective_accuracy",
    )
    reasons: ClassVar[frozenset[str]] = frozenset(
        {
            "DIVERGED",
            "RESOURCE",
            "CRASHED",
            "NO_LEARNING",
            "NEGATIVE_TRANSFER",
            "MINORITY_COLLAPSE",
            "OVERFIT",
            "MISCALIBRATED",
            "FORGETTING",
            "FRAGILE",
            "OOD_DISTORTION",
            "UNSTABLE",
        }
    )

    measures: ClassVar[frozenset[str]] = frozenset({OOD, FORGETTING})

    def head(self, feature_width: int, info: DatasetInfo) -> nn.Module:
        """Return a linear layer with torch's default initialisation."""
        from torch import nn

        return nn.Linear(feature_width, info.num_classes)

    def loss(self, outputs: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        """Return the mean cross-entropy of logits [B, C] and targets int64 [B]."""
        import torch
        from torch.nn import functional as F

        precise = outputs if outputs.dtype == torch.float64 else outputs.float()
        return F.cross_entropy(precise, targets, label_smoothing=label_smoothing)

    def validation_loss(self, predictions: Predictions) -> float:
        """Return the mean negative log likelihood in nats."""
        return classification.nll(predictions.outputs, predictions.targets)

    def statistics(self, predictions: Predictions) -> NDArray[np.float64]:
        """Return float64 [N, 2C]: correct by class of the truth, and support by class."""
        return classification.example_statistics(predictions.outputs, predictions.targets)

    def primary_from_sums(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the accuracy of summed statistics."""
        return classification.accuracy_from_sums(sums)

    def per_class(
        self, predictions: Predictions, info: DatasetInfo, train_counts: NDArray[np.int64]
    ) -> tuple[ClassResult, ...]:
        """Return support and recall of each class; the recall of an absent class is None."""
        recalls = classification.per_class_recall(predictions.outputs, predictions.targets)
        support = np.bincount(predictions.targets, minlength=info.num_classes)
        return tuple(
            ClassResult(
                label=label,
                train_count=int(train_counts[index]),
                support=int(support[index]),
                recall=float(recalls[index]) if support[index] else None,
            )
            for index, label in enumerate(info.class_names)
        )
