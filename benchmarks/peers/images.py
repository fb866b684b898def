"""CIFAR-10 images in memory, the same for everybody."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.peers.work import Work
from sftbench.api import Dataset, Variant, VariantContext
from sftbench.data.loading import load_split
from sftbench.data.splits import limit
from sftbench.discovery import build_catalog
from sftbench.seeding import numpy_generator

DATASET = "cifar10"
NUM_CLASSES = 10
_NUM_TEST = 64
# The article's script has these, whatever the weights; others take those of the weights.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_folder(root: Path, num_train: int) -> Path:
    """Write the first images of a seeded, stratified choice as `arrays:PATH` wants them.

    The test split is as small as can be: testing is not on the clock.

    Raises:
        UnavailableError: CIFAR-10 is not in the cache; the message names the command.
    """
    folder = root / f"images-{num_train}"
    if folder.exists():
        return folder
    dataset = cast(Dataset, build_catalog(chosen="").create("dataset", DATASET))
    folder.mkdir(parents=True)
    for split, count in (("train", num_train), ("test", _NUM_TEST)):
        examples = load_split(dataset, cast(Any, split), 32, skip_unreadable=False)
        chosen = limit(examples.targets, count, np.random.default_rng(0))
        np.save(folder / f"{split}_images.npy", np.asarray(examples.inputs)[chosen])
        np.save(folder / f"{split}_labels.npy", examples.targets[chosen])
    (folder / "dataset.json").write_text(json.dumps({"horizontal_flip": True}))
    return folder


class Pictures:
    """A map-style data set as torchvision's CIFAR10 is one: an array, an image of PIL, a transform.

    Args:
        work: Says which images.
        transform: Of one image of PIL.
    """

    def __init__(self, work: Work, transform: Callable[[Any], Any] | None = None) -> None:
        self.images, self.targets = arrays(work)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = Image.fromarray(self.images[index])
        return self.transform(image) if self.transform else image, int(self.targets[index])


def arrays(work: Work) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images uint8 [N, 32, 32, 3] and labels int64 [N] of the work's variant, in memory."""
    images = np.load(Path(work.folder) / "train_images.npy")
    targets = np.load(Path(work.folder) / "train_labels.npy").astype(np.int64)
    if work.limit is not None:
        chosen = limit(targets, work.limit, np.random.default_rng(0))
        images, targets = images[chosen], targets[chosen]
    # As sftbench draws it for seed 0, so that both train on the very same images.
    variant = cast(Variant, build_catalog(chosen="").create("variant", work.variant))
    name = f"arrays:{work.folder}"
    context = VariantContext(
        num_classes=NUM_CLASSES,
        generator=lambda *keys: numpy_generator("variant", 0, name, *keys),
    )
    subset = variant.apply(targets, context)
    return np.ascontiguousarray(images[subset.indices]), subset.targets


def pad(work: Work) -> int:
    """Return the pixels around an image that is cropped: an eighth, as 4 at 32 pixels."""
    return work.image_size // 8
