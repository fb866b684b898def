"""OOD detection: are test images of another data set told apart from the target's?"""

from __future__ import annotations

from sftbench.engine.training import predict_on
from sftbench.evaluation import ood
from sftbench.measures import OOD
from sftbench.reliability.subject import Found, Subject


def measure(subject: Subject, name: str, found: Found) -> None:
    """Score the test split and as many test examples of another data set, or fewer.

    The predictions on the other data are kept; their targets are that data set's own classes.

    Args:
        subject: The cell.
        name: Reference of the other data set.
        found: Where to write.
    """
    ws = subject.ws
    split = subject.split(subject.dataset(name), "test")
    indices = subject.some(split, len(ws.data.test_indices), name, "ood")
    outside = predict_on(ws, subject.model, split, indices, on_disk=False)
    inside = subject.trained.selected.test
    values: dict[str, float | None] = {}
    for score in ood.SCORES:
        pair = ood.score(inside.outputs, score), ood.score(outside.outputs, score)
        values[f"auroc_{score}"] = ood.auroc(*pair)
        values[f"fpr95_{score}"] = ood.fpr_at_tpr(*pair)
    found.values[f"{OOD}:{name}"] = values
    found.kept[f"{OOD}:{name}"] = outside
