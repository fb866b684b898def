"""A bare step in plain torch: fp32, NCHW, one batch that is in memory already."""

from __future__ import annotations

from collections.abc import Callable

from torch import optim

from benchmarks.peers.contestants.article import transform
from benchmarks.peers.contestants.bare import steps_of
from benchmarks.peers.images import Pictures
from benchmarks.peers.starting import build
from benchmarks.peers.training import MOMENTUM, RATE, freeze
from benchmarks.peers.work import Outcome, Work


def prepare(work: Work) -> Callable[[], Outcome]:
    """Return the steps."""
    import torch

    dataset = Pictures(work, transform(work, augmented=False))
    batch = [dataset[index] for index in range(work.batch_size)]
    inputs = torch.stack([image for image, _ in batch]).to(work.device)
    targets = torch.tensor([label for _, label in batch]).to(work.device)
    model = build(work).to(work.device)
    freeze(model, frozen=work.kind == "frozen")
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = optim.SGD(trained, lr=RATE, momentum=MOMENTUM)
    return steps_of(work, model, optimizer, inputs, targets, "fp32")
