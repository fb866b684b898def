"""timm's loader with a plain loop: its training transform, its prefetcher."""

from __future__ import annotations

from collections.abc import Callable

import torch
from timm.data import create_loader, resolve_model_data_config
from torch import nn, optim

from benchmarks.peers.images import Pictures
from benchmarks.peers.starting import build
from benchmarks.peers.training import MOMENTUM, RATE, Log, freeze, stretches, timed
from benchmarks.peers.work import Outcome, Work


def prepare(work: Work) -> Callable[[], Outcome]:
    """Return the training."""
    config = resolve_model_data_config(build(work))
    dataset = Pictures(work)

    def fit(model: nn.Module, log: Log) -> None:
        for frozen, epochs in stretches(work):
            freeze(model, frozen=frozen)
            batches = create_loader(
                dataset,
                input_size=(3, work.image_size, work.image_size),
                batch_size=work.batch_size,
                is_training=True,
                no_aug=frozen,  # otherwise a random resized crop, and a flip
                color_jitter=None,
                interpolation=config["interpolation"],
                mean=config["mean"],
                std=config["std"],
                num_workers=work.num_workers,
                persistent_workers=work.num_workers > 0,
                pin_memory=work.device.startswith("cuda"),
                device=torch.device(work.device),
            )
            batches.dataset.transform = dataset.transform
            trained = [p for p in model.parameters() if p.requires_grad]
            optimizer = optim.SGD(trained, lr=RATE, momentum=MOMENTUM)
            criterion = nn.CrossEntropyLoss()
            for _ in range(epochs):
                for inputs, labels in batches:
                    loss = criterion(model(inputs), labels)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    log.add(loss, len(labels))

    return timed(work, fit)
