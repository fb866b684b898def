"""Image files to arrays: every readable one a square of RGB, every other one a line that says why.

A file is data of somebody else: only raster formats that Pillow decodes by itself are tried (an EPS
file would start Ghostscript), sizes are bounded, and a named pipe keeps nobody waiting.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import warnings
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from sftbench.api import UnavailableError
from sftbench.names import one_line

if TYPE_CHECKING:
    from PIL import Image

T = TypeVar("T")

DECODER_VERSION: Final = 1
"""Raise it when the pixels of a file may change: arrays in the cache then count as others."""

Decoded = tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]
"""Images uint8 [K, S, S, 3], positions int64 [K] of those, and a line for each of the others."""

_FORMATS: Final = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_MAX_FILE_BYTES: Final = 256 << 20
_MAX_RATIO: Final = 100  # of the sides: resizing the shorter one stretches the longer one with it
_MAX_THREADS: Final = 8
# What Pillow raises for bytes that are no image: found by feeding it damaged ones.
_BAD_IMAGE: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def decode(file: Path, image_size: int) -> NDArray[np.uint8]:
    """Read one image file.

    The shorter side is resized to S (bicubic, antialiased), then the centre is cropped. An EXIF
    orientation is not applied, as in torchvision; of a moving image the first frame is taken.

    Args:
        file: A regular file, or a link to one.
        image_size: S, in pixels.

    Returns:
        RGB, uint8 [S, S, 3].

    Raises:
        UnavailableError: `FILE: why` it cannot be read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, about what it could read after all
        return _decode(str(file), lambda: _open(file), image_size)


def read_image(file: Path, take: Callable[[Image.Image], T]) -> T:
    """Open one image file as `decode` does, and return what `take` makes of the image.

    Args:
        file: A regular file, or a link to one.
        take: Is given the image, decoded; a ValueError of it, too, is a
            reason why the file cannot be read: its text is told.

    Raises:
        UnavailableError: `FILE: why` it cannot be read.
    """

    def taken(image: Image.Image) -> T:
        image.load()
        try:
            return take(image)
        except ValueError as error:
            raise _UnfitError(str(error)) from None

    return _read(str(file), lambda: _open(file), taken)


def square_rgb(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Return an image as RGB, uint8 [S, S, 3]: shorter side resized, centre cropped.

    Raises:
        ValueError: It has more than 8 bits a channel, or one side is far longer than the other.
    """
    try:
        return np.asarray(_squared(_to_rgb(image), size), dtype=np.uint8)
    except _UnfitError as error:
        raise ValueError(str(error)) from None


def decode_all(
    files: Sequence[Path], image_size: int, names: Sequence[str] | None = None
) -> Decoded:
    """Read many image files as `decode` does, in threads; the order is kept.

    Args:
        files: Regular files, or links to some.
        image_size: S, in pixels.
        names: How messages name them; None: by their paths.

    Returns:
        Images uint8 [K, S, S, 3] of those that can be read, their positions in `files` int64 [K],
        and a line `FILE: why` for each of the others.
    """

    def opener(index: int) -> tuple[str, Callable[[], BinaryIO]]:
        name = str(files[index]) if names is None else names[index]
        return name, lambda: _open(files[index])

    return _decode_each(len(files), opener, image_size)


def decode_contents(
    num: int, content: Callable[[int], tuple[str, bytes | Path]], image_size: int
) -> Decoded:
    """Read images that are named one by one; everything else is as in `decode_all`.

    Args:
        num: How many there are.
        content: Gives name and bytes of one, or name and file, by its position; called from
            several threads.
        image_size: S, in pixels.
    """

    def opener(index: int) -> tuple[str, Callable[[], BinaryIO]]:
        name, data = content(index)
        return name, lambda: _open(data) if isinstance(data, Path) else io.BytesIO(data)

    return _decode_each(num, opener, image_size)


def _decode_each(
    num: int, opener: Callable[[int], tuple[str, Callable[[], BinaryIO]]], image_size: int
) -> Decoded:
    images = np.empty((num, image_size, image_size, 3), dtype=np.uint8)

    def fill(index: int) -> None:
        name, open_it = opener(index)
        images[index] = _decode(name, open_it, image_size)

    kept, unreadable = each_readable(num, fill)
    return (images[kept] if unreadable else images), kept, unreadable


def each_readable(
    num: int, read: Callable[[int], None]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Call `read` for 0..num - 1, in threads.

    Returns:
        Those that it did not raise UnavailableError for, int64 [K] ascending, and the texts of
        the others' errors.
    """

    def line(index: int) -> str | None:
        try:
            read(index)
        except UnavailableError as error:
            return str(error)
        return None

    # Filters of warnings belong to the whole process, so they are set once and not in threads.
    # Pillow decodes and resizes without the interpreter's lock, so threads are enough.
    threads = min(_MAX_THREADS, os.cpu_count() or 1)
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.simplefilter("ignore")
        lines = list(pool.map(line, range(num)))
    kept = np.array([index for index, text in enumerate(lines) if text is None], dtype=np.int64)
    return kept, tuple(text for text in lines if text is not None)


def _decode(name: str, open_it: Callable[[], BinaryIO], image_size: int) -> NDArray[np.uint8]:
    """Decode what `open_it` opens.

    Raises:
        UnavailableError: `NAME: why`.
    """

    def take(image: Image.Image) -> NDArray[np.uint8]:
        return np.asarray(_squared(_to_rgb(image), image_size), dtype=np.uint8)

    return _read(name, open_it, take)


def _read(name: str, open_it: Callable[[], BinaryIO], take: Callable[[Image.Image], T]) -> T:
    """Return what `take` makes of the image that `open_it` opens.

    Raises:
        UnavailableError: `NAME: why`.
    """
    from PIL import Image, UnidentifiedImageError

    def refusal(why: str) -> UnavailableError:
        return UnavailableError(f"{one_line(name, 1000)}: {why}")

    try:
        with open_it() as stream:
            _check_size(stream.seek(0, io.SEEK_END))
            stream.seek(0)
            image = Image.open(stream, formats=_FORMATS)
            return take(image)
    except _UnfitError as error:
        raise refusal(str(error)) from None
    except UnidentifiedImageError:
        raise refusal(f"no image of a known format ({', '.join(_FORMATS)})") from None
    except Image.DecompressionBombError:
        raise refusal(f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels") from None
    except _BAD_IMAGE as error:
        # An error of the system has a text of its own; one of Pillow says what is wrong inside.
        system = error.strerror if isinstance(error, OSError) else None
        raise refusal(system.lower() if system else "not a whole image") from None


class _UnfitError(Exception):
    """Why a file is not taken, though it may be whole."""


def _open(file: Path) -> BinaryIO:
    """Open a regular file.

    Raises:
        _UnfitError: It is something else, or of no fitting size.
        OSError: The system refuses.
    """
    # A named pipe must not keep the reader waiting.
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    stream = os.fdopen(descriptor, "rb") if _is_file(descriptor) else None
    if stream is None:
        os.close(descriptor)
        raise _UnfitError("a folder, a pipe or a device, not a file")
    return stream


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _check_size(num_bytes: int) -> None:
    if num_bytes == 0:
        raise _UnfitError("an empty file")
    if num_bytes > _MAX_FILE_BYTES:
        raise _UnfitError(f"larger than {_MAX_FILE_BYTES >> 20} MiB")


def _to_rgb(image: Image.Image) -> Image.Image:
    """Decode an image of 8 bits a channel to RGB.

    Raises:
        _UnfitError: It has more bits.
    """
    # Pillow would clip 16 bits to 8, which makes most such images white.
    if image.mode.startswith(("I", "F")):
        raise _UnfitError(f"{image.mode} has more than 8 bits a channel; convert it to 8")
    # A palette with transparency goes by way of RGBA, or Pillow warns.
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _squared(image: Image.Image, size: int) -> Image.Image:
    """Resize the shorter side to `size`, then crop the centre (torchvision's rounding)."""
    from PIL import Image

    width, height = image.size
    short = min(width, height)
    if max(width, height) > _MAX_RATIO * short:
        raise _UnfitError(
            f"{width} x {height} pixels: one side is over {_MAX_RATIO} times the other"
        )
    width, height = size * width // short, size * height // short
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return image.crop((left, top, left + size, top + size))
