"""The article's own script (section 4): torchvision's transforms, a DataLoader, SGD, plain torch.

What differs: the model and its weights are the work's, images come from memory, and full
fine-tuning crops and flips, as sftbench does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn, optim
from torch.utils.data import DataLoader
from torchvision import transforms

from benchmarks.peers.images import MEAN, STD, Pictures, pad
from benchmarks.peers.training import MOMENTUM, RATE, Log, freeze, stretches, timed
from benchmarks.peers.work import Outcome, Work


def transform(work: Work, *, augmented: bool) -> Any:
    """Return the article's transform, with crop and flip where they are asked for."""
    size = work.image_size
    extra = [transforms.RandomCrop(size, padding=pad(work)), transforms.RandomHorizontalFlip()]
    return transforms.Compose(
        [
            transforms.Resize(size),
            transforms.CenterCrop(size),
            *(extra if augmented else []),
            transforms.ToTensor(),
            transforms.Normalize(mean=MEAN, std=STD),
        ]
    )


def loader(work: Work, dataset: Any) -> Any:
    """Return the article's loader; pinned memory and lasting workers as torch's docs advise."""
    return DataLoader(
        dataset,
        batch_size=work.batch_size,
        shuffle=True,
        num_workers=work.num_workers,
        persistent_workers=work.num_workers > 0,
        pin_memory=work.device.startswith("cuda"),
    )


def prepare(work: Work) -> Callable[[], Outcome]:
    """Return the training."""
    datasets = {
        frozen: Pictures(work, transform(work, augmented=not frozen))
        for frozen in {frozen for frozen, _ in stretches(work)}
    }

    def fit(base_model: nn.Module, log: Log) -> None:
        for frozen, epochs in stretches(work):
            freeze(base_model, frozen=frozen)
            fine_tune_loader = loader(work, datasets[frozen])
            trained = [p for p in base_model.parameters() if p.requires_grad]
            optimizer = optim.SGD(trained, lr=RATE, momentum=MOMENTUM)
            criterion = nn.CrossEntropyLoss()
            for _ in range(epochs):
                for batch in fine_tune_loader:
                    inputs, labels = (t.to(work.device, non_blocking=True) for t in batch)
                    optimizer.zero_grad()
                    outputs = base_model(inputs)
                    loss = criterion(outputs, labels)
                    loss.backward()
                    optimizer.step()
                    log.add(loss, len(labels))

    return timed(work, fit)
