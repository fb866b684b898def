"""Readers that torchvision's data sets give: arrays, files, and the names of classes.

Each function returns a reader for a `Layout`; torchvision is imported when the reader is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sftbench.api import Examples, Split
from sftbench.builtin.datasets.published.layout import Files

Arguments = Mapping[str, object]

_SPLIT_SEED = 0


def named(*names: str) -> Callable[[Path], tuple[str, ...]]:
    """Return a reader of class names that gives these."""
    return lambda _: names


def folders(where: str, without: str = "") -> Callable[[Path], tuple[str, ...]]:
    """Return a reader that gives the names of the folders in `where`, sorted."""

    def read(folder: Path) -> tuple[str, ...]:
        found = [entry.name for entry in (folder / where).iterdir() if entry.is_dir()]
        return tuple(sorted(name for name in found if name != without))

    return read


def lines(where: str, name: Callable[[str], str] = str.strip) -> Callable[[Path], tuple[str, ...]]:
    """Return a reader that gives the different names in the lines of a file, in their order."""

    def read(folder: Path) -> tuple[str, ...]:
        text = (folder / where).read_text(encoding="utf-8")
        return tuple(dict.fromkeys(name(line) for line in text.splitlines() if line.strip()))

    return read


def attribute(cls: str, member: str = "classes") -> Callable[[Path], tuple[str, ...]]:
    """Return a reader that gives the class names that torchvision's class has."""

    def read(_: Path) -> tuple[str, ...]:
        from torchvision import datasets

        return tuple(getattr(getattr(datasets, cls), member))

    return read


def arrays(
    cls: str, train: Arguments, test: Arguments, labels: str = "labels"
) -> Callable[[Path, Split], Examples]:
    """Return a reader of a set that torchvision keeps in memory.

    Args:
        cls: Name of torchvision's class; its `data` is [N, H, W], [N, 3, H, W] or [N, H, W, 3].
        train: Its arguments for the training split.
        test: Its arguments for the test split.
        labels: Its attribute of labels.
    """

    def read(folder: Path, split: Split) -> Examples:
        made = _make(cls, folder, train if split == "train" else test)
        targets = _numpy(getattr(made, labels)).astype(np.int64)
        return Examples(channels_last(_numpy(made.data)), targets)

    return read


def channels_last(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images [N, H, W], [N, 3, H, W] or [N, H, W, 3] as contiguous [N, H, W, C]."""
    if images.ndim == 3:
        images = images[..., None]
    elif images.shape[1] == 3:
        images = images.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images)


def files(
    cls: str,
    train: tuple[Arguments, ...],
    test: tuple[Arguments, ...],
    members: tuple[str, str] = ("_image_files", "_labels"),
) -> Callable[[Path, Split], Files]:
    """Return a reader of a set of image files.

    Args:
        cls: Name of torchvision's class.
        train: Its arguments for each part of the training split, which are joined.
        test: As `train`.
        members: Its attributes of files and labels; one name twice: pairs of both.
    """

    def read(folder: Path, split: Split) -> Files:
        parts = [_make(cls, folder, one) for one in (train if split == "train" else test)]
        found = [pair for part in parts for pair in _pairs(part, members)]
        return _files(found)

    return read


def seeded(
    cls: str,
    *,
    pairs: Callable[[Any], Iterator[tuple[Path, int]]],
    num_train: int | None = None,
    num_test: int | None = None,
    test_share: float = 0.0,
) -> Callable[[Path, Split], Files]:
    """Return a reader of a set without official splits: they are drawn here, class by class.

    The images of each class, sorted by path, are put into an order drawn with PCG64 of seed 0.
    Its first `num_train` are for training and the next `num_test` (None: all others) the test;
    where `num_train` is None, the last `test_share` of them are the test.

    Args:
        cls: Name of torchvision's class.
        pairs: Gives files and labels of its instance.
        num_train: Training images of each class.
        num_test: Test images of each class.
        test_share: Share of each class.
    """

    def read(folder: Path, split: Split) -> Files:
        found = sorted(pairs(_make(cls, folder, {})))
        targets = np.array([target for _, target in found], dtype=np.int64)
        # Sorted raw words are a permutation that NumPy promises to keep from release to release.
        words = np.random.PCG64(_SPLIT_SEED).random_raw(len(found))
        order = np.argsort(words, kind="stable")
        kept: list[int] = []
        for label in np.unique(targets):
            drawn = order[targets[order] == label].tolist()
            cut = len(drawn) - round(test_share * len(drawn)) if num_train is None else num_train
            end = len(drawn) if num_test is None else cut + num_test
            kept += drawn[:cut] if split == "train" else drawn[cut:end]
        return _files([found[index] for index in sorted(kept)])

    return read


def sample_pairs(made: Any) -> Iterator[tuple[Path, int]]:
    """Yield files and labels of an ImageFolder."""
    return _pairs(made, ("samples", "samples"))


def file_pairs(made: Any) -> Iterator[tuple[Path, int]]:
    """Yield files and labels of a set that lists both."""
    return _pairs(made, ("_image_files", "_labels"))


def _numpy(value: Any) -> NDArray[Any]:
    """Return what torchvision keeps, a tensor or an array, as an array."""
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)


def _make(cls: str, folder: Path, arguments: Arguments) -> Any:
    from torchvision import datasets

    return getattr(datasets, cls)(str(folder), **arguments)


def _pairs(made: Any, members: tuple[str, str]) -> Iterator[tuple[Path, int]]:
    paths, labels = members
    if paths == labels:
        found = getattr(made, paths)
    else:
        found = zip(getattr(made, paths), getattr(made, labels), strict=True)
    for path, label in found:
        yield Path(path), int(label)


def _files(found: list[tuple[Path, int]]) -> Files:
    return Files(
        [path for path, _ in found], np.array([target for _, target in found], dtype=np.int64)
    )
