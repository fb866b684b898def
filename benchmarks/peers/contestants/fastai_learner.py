"""fastai: a DataBlock and a Learner; its transforms of single images, which are its quicker ones.

What differs: its crop is taken from an image that is an eighth larger, in place of a padded one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from fastai.vision import all as fv
from torch import nn

from benchmarks.peers.images import MEAN, NUM_CLASSES, STD, arrays, pad
from benchmarks.peers.training import MOMENTUM, RATE, Log, freeze, stretches, timed
from benchmarks.peers.work import Outcome, Work


class _Watch(fv.Callback):
    """Notes losses, and leaves out validation."""

    def __init__(self, log: Log) -> None:
        self.noted = log

    def after_loss(self) -> None:
        if self.learn.training:
            self.noted.add(self.learn.loss_grad, len(self.learn.yb[0]))

    def before_validate(self) -> None:
        raise fv.CancelValidException


def _loaders(work: Work, images: Any, targets: Any, *, augmented: bool) -> Any:
    size = work.image_size
    item_tfms: list[Any] = [fv.Resize(size)]
    if augmented:
        item_tfms = [fv.Resize(size + pad(work)), fv.RandomCrop(size), fv.FlipItem()]
    block = fv.DataBlock(
        blocks=(fv.ImageBlock, fv.CategoryBlock(vocab=list(range(NUM_CLASSES)))),
        get_x=lambda index: images[index],
        get_y=lambda index: int(targets[index]),
        splitter=fv.IndexSplitter([0]),
        item_tfms=item_tfms,
        batch_tfms=[fv.Normalize.from_stats(MEAN, STD)],
    )
    # The splitter wants an image for validation: it is one more than those to train on.
    return block.dataloaders(
        [0, *range(len(targets))],
        bs=work.batch_size,
        num_workers=work.num_workers,
        device=torch.device(work.device),
        drop_last=False,
        pin_memory=work.device.startswith("cuda"),
    )


def prepare(work: Work) -> Callable[[], Outcome]:
    """Return the training."""
    images, targets = arrays(work)

    def fit(model: nn.Module, log: Log) -> None:
        for frozen, epochs in stretches(work):
            freeze(model, frozen=frozen)
            learner = fv.Learner(
                _loaders(work, images, targets, augmented=not frozen),
                model,
                loss_func=fv.CrossEntropyLossFlat(),
                opt_func=partial(fv.OptimWrapper, opt=torch.optim.SGD, momentum=MOMENTUM),
                cbs=_Watch(log),
                train_bn=not frozen,
                default_cbs=True,
            )
            with learner.no_bar(), learner.no_logging():
                learner.fit(epochs, lr=RATE)

    return timed(work, fit)
