"""Forgetting: what the tuned backbone is still worth on the data that its weights came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from sftbench.contracts.backbone import Network
from sftbench.contracts.task import Task
from sftbench.engine.predict import predict
from sftbench.evaluation.classification import accuracy
from sftbench.measures import FORGETTING
from sftbench.models.model import Model
from sftbench.reliability.subject import Found, Subject
from sftbench.weights import parse_weights

SOURCE = "source"


def measure(subject: Subject, _name: str, found: Found) -> None:
    """Test the source's own head on the backbone before and after, at the cell's image size."""
    text = subject.parts.strategy.weights(subject.cell.weights)
    reference = parse_weights(text)
    head = subject.parts.start.head
    if reference.kind != "pretrain":
        found.missing(FORGETTING, f"weights {text} have no source data here")
        return
    if head is None:
        found.missing(FORGETTING, f"weights {text} were kept without a head of classes")
        return
    after = subject.model.backbone
    width, inputs = cast(Network, after).feature_width, head["weight"].shape[1]
    if width != inputs:
        found.missing(
            FORGETTING,
            f"the tuned network gives {width} features, the source's head takes {inputs}",
        )
        return
    dataset = subject.dataset(reference.name)
    task = cast(Task, subject.warm.catalog.create("task", dataset.info().task))
    split = subject.split(dataset, "test", task)
    most = subject.ws.protocol.limit_test
    indices = subject.some(split, None if most is None else int(most), reference.name, "limit-test")
    original = _head(head).to(subject.ws.device)

    def tested(backbone: nn.Module) -> float:
        kept = predict(
            Model(backbone, original), task, split, indices, subject.ws.protocol.precision
        )
        return accuracy(kept.outputs, kept.targets)

    found.values[SOURCE] = {
        "accuracy_before": tested(subject.started_from()),
        "accuracy_after": tested(after),
    }


def _head(tensors: Mapping[str, Tensor]) -> nn.Linear:
    """Return the linear layer of `weight` [S, D] and, where there is one, `bias` [S]."""
    weight = tensors["weight"]
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in tensors)
    layer.load_state_dict(dict(tensors))
    return layer
