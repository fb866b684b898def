"""Small pictures of test examples, where the data set of a record is on this machine. No torch."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from sftbench.catalog import Catalog
from sftbench.contracts.dataset import Dataset, Examples
from sftbench.data.fingerprints import fingerprint
from sftbench.data.loading import load_split
from sftbench.errors import SftbenchError, UnavailableError
from sftbench.names import cause, one_line, shown
from sftbench.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

SIDE = 96  # pixels of the longer side, at most
_MOST_BYTES = 4 << 30  # of a decoded split that is loaded for a few pictures
_TEXT_CHARACTERS = 280


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """One example: a picture, or the beginning of a text.

    Attributes:
        png: The file; empty for a text.
        width: In pixels.
        height: In pixels.
        text: Empty for a picture.
    """

    png: bytes = b""
    width: int = 0
    height: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """What could be had of the examples that were asked for.

    Attributes:
        found: By index of the example.
        missing: Why there are none, as one line; empty where there are.
    """

    found: Mapping[int, Thumbnail] = field(default_factory=dict)
    missing: str = ""


def thumbnails_of(record: Record, indices: Sequence[int], catalog: Catalog) -> Thumbnails:
    """Return small pictures of test examples; never raises for what is not here.

    The data is decoded by its own data set, at the size that the record was made with, so that
    what a run keeps in the cache is found. It must be the very data that the record was made from.

    Args:
        record: Whose test split it is.
        indices: Positions in it.
        catalog: Where the data set is looked up.
    """
    try:
        with _guard(record.cell.dataset), _without_hub():
            examples = _load(record, catalog)
            return Thumbnails({index: _thumbnail(examples, index) for index in indices})
    except SftbenchError as error:
        return Thumbnails(missing=one_line(str(error)))


def _load(record: Record, catalog: Catalog) -> Examples:
    """Return the test split of a record.

    Raises:
        SftbenchError: It is not here, too large, or not the record's.
    """
    cell = record.cell
    dataset = cast(Dataset, catalog.create("dataset", cell.dataset))
    if dataset.where() is None:
        raise UnavailableError(f"data set {shown(cell.dataset)} is not on this machine")
    size = int(cell.protocol.image_size)
    expected = dataset.info().num_test * size * size * 3
    if expected > _MOST_BYTES:
        raise UnavailableError(
            f"the test split of {shown(cell.dataset)} is too large to be decoded for them "
            f"({expected / 1e9:.0f} GB)"
        )
    examples = load_split(dataset, "test", size, skip_unreadable=cell.protocol.skip_unreadable)
    data = record.provenance.get("data")
    known = data.get("test") if isinstance(data, dict) else None
    if fingerprint(examples) != known:
        raise UnavailableError(
            f"the test split of {shown(cell.dataset)} on this machine is not the one that the "
            "record was made from"
        )
    return examples


def _thumbnail(examples: Examples, index: int) -> Thumbnail:
    """Return one example.

    Raises:
        UnavailableError: There is none of that index, or it is neither picture nor text.
    """
    if not 0 <= index < len(examples.inputs):
        raise UnavailableError(f"the test split has no example {index}")
    value = examples.inputs[index]
    if isinstance(value, str):
        return Thumbnail(text=one_line(value, _TEXT_CHARACTERS))
    is_picture = (
        isinstance(value, np.ndarray)
        and value.dtype == np.uint8
        and value.ndim == 3
        and value.shape[2] in (1, 3)
        and value.size > 0
    )
    if not is_picture:
        raise UnavailableError("the examples of this data set are neither pictures nor texts")
    return _picture(value)


def _picture(pixels: Any) -> Thumbnail:
    """Return pixels uint8 [H, W, 1 or 3] as PNG; what is larger than `SIDE` is made smaller."""
    from PIL import Image

    plain = np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    image = Image.fromarray(plain)
    if max(image.size) > SIDE:
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=True)
    return Thumbnail(out.getvalue(), *image.size)


@contextmanager
def _without_hub() -> Iterator[None]:
    """Let no data set ask a hub: its name is a record's, and a story downloads nothing."""
    import huggingface_hub.constants as hub

    before = hub.HF_HUB_OFFLINE
    hub.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        hub.HF_HUB_OFFLINE = before


@contextmanager
def _guard(dataset: str) -> Iterator[None]:
    """Turn whatever a plugin's data set raises into a line: pictures are a gift, not the story.

    Raises:
        SftbenchError: What went wrong.
    """
    try:
        yield
    except SftbenchError:
        raise
    except Exception as error:
        raise UnavailableError(f"data set {shown(dataset)} fails: {cause(error)}") from error
