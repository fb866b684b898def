"""Whether the data that is here is whole, and the published one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sftbench.contracts.dataset import Dataset, Split
from sftbench.data.fingerprints import fingerprint
from sftbench.errors import UnavailableError
from sftbench.names import one_line

_PIXELS = 64
_SPLITS: tuple[Split, ...] = ("train", "test")


@dataclass(frozen=True, slots=True)
class Verified:
    """A split that was decoded whole.

    Attributes:
        split: `train` or `test`.
        num: Its examples.
        form: Of the inputs, as `uint8 [50000, 32, 32, 3]`.
        fingerprint: Of its decoded examples.
        pinned: Whether the fingerprint of the published data is known; it is then this one.
    """

    split: Split
    num: int
    form: str
    fingerprint: str
    pinned: bool


def verify(dataset: Dataset) -> Iterator[Verified]:
    """Decode both splits of a data set and compare them with what is known of it.

    Images of varying sizes are decoded to 64 pixels where the data set suggests no size.

    Yields:
        Each split that is as it should be.

    Raises:
        UnavailableError: Something is missing, damaged, or not the published data.
    """
    info = dataset.info()
    expected = {"train": info.num_train, "test": info.num_test}
    pinned = {} if dataset.published is None else dataset.published.fingerprints
    for split in _SPLITS:
        examples = dataset.load(split, info.image_size or _PIXELS)
        if examples.unreadable:
            raise UnavailableError(
                f"{split} of {info.name}: {len(examples.unreadable):,} of {expected[split]:,} "
                f"examples cannot be read, the first: {one_line(examples.unreadable[0], 300)}"
            )
        found = len(examples.targets)
        if found != expected[split]:
            raise UnavailableError(
                f"{split} of {info.name}: {found:,} examples, not {expected[split]:,}; "
                f"get it anew ({info.source})"
            )
        mark = fingerprint(examples)
        if split in pinned and pinned[split] != mark:
            raise UnavailableError(
                f"{split} of {info.name}: its fingerprint is {mark}, the published data has "
                f"{pinned[split]}; get it anew ({info.source})"
            )
        yield Verified(split, found, _form(examples.inputs), mark, split in pinned)


def _form(inputs: object) -> str:
    if isinstance(inputs, np.ndarray):
        return f"{inputs.dtype} {list(inputs.shape)}"
    return type(inputs).__name__
