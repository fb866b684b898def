"""One split of a data set, decoded: from the cache where it can be, and whole or told what lacks.

Whether a run goes on without the examples that cannot be read is decided here and nowhere else.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from sftbench import cache
from sftbench.contracts.dataset import Dataset, Examples, Split
from sftbench.errors import CacheError, RecordError, UnavailableError
from sftbench.files import read_plain, validated, write_json
from sftbench.names import one_line

_LAYOUT_VERSION: Final = 1
_UNREADABLE_MAX_BYTES: Final = 1 << 30
_PATIENCE_SECONDS: Final = 3.0
# What reading or writing an entry raises where the cache, and not the data, is to blame.
_NO_CACHE: Final = (
    CacheError,
    OSError,
    RecordError,
    NotImplementedError,
    TypeError,
    ValueError,
    EOFError,
)
_ARRAYS: Final = ("inputs", "targets", "groups", "truth", "class_counts")
_LARGE: Final = {"inputs", "truth"}
_log = logging.getLogger(__name__)


class _Unreadable(BaseModel):
    """`unreadable.json` of an entry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lines: tuple[str, ...]


def load_split(
    dataset: Dataset, split: Split, image_size: int, *, skip_unreadable: bool
) -> Examples:
    """Return one decoded split.

    Where the data set has a `cache_key`, its arrays are kept in the cache and mapped from there,
    read-only. A cache that cannot be used is said and done without.

    Args:
        dataset: The data set.
        split: `train` or `test`.
        image_size: Pixels.
        skip_unreadable: Go on without the examples that cannot be read.

    Raises:
        UnavailableError: The data is not here; or an example cannot be read and is not to be
            left out; or, without those, a class has no training example or a split is empty.
    """
    key = dataset.cache_key(split, image_size)
    if key is None:
        examples = dataset.load(split, image_size)
    else:
        examples = _from_cache(dataset, split, image_size, key)
    if examples.unreadable:
        if not skip_unreadable:
            raise UnavailableError(_refusal(examples, split))
        _check_rest(dataset, examples, split)
    return examples


def left_out(dataset: Dataset, split: Split, examples: Examples) -> str | None:
    """Return the line about what a split leaves out, or None."""
    if not examples.unreadable:
        return None
    lines = examples.unreadable
    return (
        f"{one_line(dataset.reference)}: {_share(examples)} {split} examples cannot be read and "
        f"are left out, the first: {lines[0]}"
    )


def _share(examples: Examples) -> str:
    lost = len(examples.unreadable)
    return f"{lost} of {lost + len(examples.inputs)}"


def _refusal(examples: Examples, split: Split) -> str:
    return (
        f"{examples.unreadable[0]}; {_share(examples)} {split} examples cannot be read: mend or "
        "remove them, or leave them out with --skip-unreadable"
    )


def _check_rest(dataset: Dataset, examples: Examples, split: Split) -> None:
    """See to it that what can be read is enough.

    Raises:
        UnavailableError: It is not.
    """
    first = f"the first of {len(examples.unreadable)} that cannot be read: {examples.unreadable[0]}"
    if len(examples.inputs) == 0:
        raise UnavailableError(
            f"{one_line(dataset.reference)}: no {split} example can be read; {first}"
        )
    if split == "test" or examples.class_counts is not None:
        return
    names = dataset.info().class_names
    counts = np.bincount(examples.targets, minlength=len(names))
    for name, count in zip(names, counts, strict=True):
        if count == 0:
            raise UnavailableError(
                f"{one_line(dataset.reference)}: no training example of class {name!r} can be "
                f"read; {first}"
            )


def _from_cache(dataset: Dataset, split: Split, image_size: int, key: str) -> Examples:
    """Return the arrays of the cache; decode them where they are not there."""
    parts = (_LAYOUT_VERSION, dataset.reference, dataset.algorithm_version, split, image_size, key)
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode(errors="surrogatepass"))
    built: list[Examples] = []

    def build(folder: Path) -> str:
        with _told_if_long(f"{one_line(dataset.reference)} ({split}, {image_size} pixels)"):
            built.append(dataset.load(split, image_size))
        try:
            _write(folder, built[0])
        except OSError:
            for file in folder.iterdir():  # a full disk is not to stay full because of it
                file.unlink()
            raise
        return one_line(f"{dataset.reference} {split}, {image_size} pixels")

    try:
        return _read(cache.fill("arrays", digest.hexdigest()[:40], build))
    except _NO_CACHE as error:
        _log.warning(
            "the cache %s cannot keep the decoded images of %s (%s); they are decoded anew by "
            "each process",
            cache.cache_root(),
            one_line(dataset.reference),
            one_line(str(error)),
        )
    return built[0] if built else dataset.load(split, image_size)


@contextmanager
def _told_if_long(what: str) -> Iterator[None]:
    """Say what is going on where it takes more than a moment."""
    line = "decoding the images of %s; the next run on them finds them in the cache"
    timer = threading.Timer(_PATIENCE_SECONDS, _log.warning, (line, what))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _write(folder: Path, examples: Examples) -> None:
    """Write the files of an entry, over whatever a broken-off attempt left."""
    for name in _ARRAYS:
        file = folder / f"{name}.npy"
        file.unlink(missing_ok=True)
        array = getattr(examples, name)
        if isinstance(array, np.ndarray):
            np.save(file, array, allow_pickle=False)
        elif array is not None:
            raise TypeError(f"{name} are a {type(array).__name__}, not an array")
    lines = _Unreadable(lines=examples.unreadable)
    write_json(folder / "unreadable.json", lines, _UNREADABLE_MAX_BYTES)


def _read(folder: Path) -> Examples:
    """Map what `_write` wrote."""
    content = read_plain(folder / "unreadable.json", _UNREADABLE_MAX_BYTES)
    arrays = {}
    for name in _ARRAYS:
        file = folder / f"{name}.npy"
        if file.exists() or name in {"inputs", "targets"}:
            mapped: Literal["r"] | None = "r" if name in _LARGE else None
            arrays[name] = np.load(file, mmap_mode=mapped, allow_pickle=False)
    return Examples(unreadable=validated(_Unreadable, content).lines, **arrays)
