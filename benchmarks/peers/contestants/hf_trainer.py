"""transformers' Trainer over the article's transform; its arguments as its docs have them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import transformers
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.peers.contestants.article import transform
from benchmarks.peers.images import Pictures
from benchmarks.peers.training import MOMENTUM, RATE, Log, freeze, stretches, timed
from benchmarks.peers.work import Outcome, Work

transformers.utils.logging.set_verbosity_error()


class Classifier(nn.Module):
    """A model that returns its loss, as Trainer wants it."""

    def __init__(self, model: nn.Module, log: Log) -> None:
        super().__init__()
        self.model = model
        self._log = log

    def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.model(pixel_values)
        loss = F.cross_entropy(logits, labels)
        self._log.add(loss, len(labels))
        return {"loss": loss, "logits": logits}


class Examples(Pictures):
    """The same images as dictionaries."""

    def __getitem__(self, index: int) -> Any:
        image, label = super().__getitem__(index)
        return {"pixel_values": image, "labels": label}


def prepare(work: Work) -> Callable[[], Outcome]:
    """Return the training."""
    datasets = {
        frozen: Examples(work, transform(work, augmented=not frozen))
        for frozen in {frozen for frozen, _ in stretches(work)}
    }

    def fit(model: nn.Module, log: Log) -> None:
        for frozen, epochs in stretches(work):
            freeze(model, frozen=frozen)
            with tempfile.TemporaryDirectory() as folder:
                arguments = transformers.TrainingArguments(
                    output_dir=folder,
                    per_device_train_batch_size=work.batch_size,
                    num_train_epochs=epochs,
                    learning_rate=RATE,
                    lr_scheduler_type="constant",
                    optim="sgd",
                    optim_args=f"momentum={MOMENTUM}",
                    max_grad_norm=0.0,
                    save_strategy="no",
                    logging_strategy="no",
                    report_to="none",
                    disable_tqdm=True,
                    remove_unused_columns=False,
                    dataloader_num_workers=work.num_workers,
                    dataloader_persistent_workers=work.num_workers > 0,
                    dataloader_pin_memory=work.device.startswith("cuda"),
                    use_cpu=not work.device.startswith("cuda"),
                )
                trainer = transformers.Trainer(
                    model=Classifier(model, log), args=arguments, train_dataset=datasets[frozen]
                )
                trainer.train()

    return timed(work, fit)
