"""Lightning: a LightningModule and its Trainer, over the article's loader."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.peers.contestants.article import loader, transform
from benchmarks.peers.images import Pictures
from benchmarks.peers.training import MOMENTUM, RATE, Log, freeze, stretches, timed
from benchmarks.peers.work import Outcome, Work

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning")


class Classifier(lightning.LightningModule):
    """One stage of a work."""

    def __init__(self, model: nn.Module, log: Log) -> None:
        super().__init__()
        self.model = model
        self.noted = log

    def training_step(self, batch: Any, _number: int) -> Tensor:
        inputs, labels = batch
        loss = F.cross_entropy(self.model(inputs), labels)
        self.noted.add(loss, len(labels))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        trained = [p for p in self.model.parameters() if p.requires_grad]
        return torch.optim.SGD(trained, lr=RATE, momentum=MOMENTUM)


def prepare(work: Work) -> Callable[[], Outcome]:
    """Return the training."""
    datasets = {
        frozen: Pictures(work, transform(work, augmented=not frozen))
        for frozen in {frozen for frozen, _ in stretches(work)}
    }

    def fit(model: nn.Module, log: Log) -> None:
        for frozen, epochs in stretches(work):
            freeze(model, frozen=frozen)
            trainer = lightning.Trainer(
                accelerator="gpu" if work.device.startswith("cuda") else "cpu",
                devices=1,
                max_epochs=epochs,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(Classifier(model, log), loader(work, datasets[frozen]))
        model.to(work.device)

    return timed(work, fit)
