"""Images where they were decoded to: read by any process, by path or from shared memory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import data

from sftbench.errors import UnavailableError


def squared(batch: Tensor, size: int, interpolation: str) -> Tensor:
    """Resize the shorter side, antialiased, then crop the centre: uint8 [B, C, S, S]."""
    if min(batch.shape[2:]) == max(batch.shape[2:]) == size:
        return batch
    # A process that only reads starts sooner without it.
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as tv

    if min(batch.shape[2:]) != size:
        mode = InterpolationMode(interpolation)
        batch = tv.resize(batch, [size], interpolation=mode, antialias=True)
    return tv.center_crop(batch, [size, size]) if max(batch.shape[2:]) != size else batch


class StoredImages(data.Dataset[Tensor]):
    """Images uint8 [N, H, W, C] that may be sent to another process, which opens them anew.

    Args:
        images: In memory, or mapped from a file.
        size: Bring them to squares of S pixels as they are read; None: as they are.
        interpolation: `bilinear` or `bicubic`.
    """

    def __init__(
        self, images: NDArray[np.uint8], *, size: int | None = None, interpolation: str = "bicubic"
    ) -> None:
        self._images = images
        self._size = size
        self._interpolation = interpolation
        self._file = _file_of(images)
        self._shared: Tensor | None = None

    @property
    def image_bytes(self) -> int:
        """Bytes of one image as it is read."""
        _, height, width, channels = self._images.shape
        pixels = height * width if self._size is None else self._size * self._size
        return int(channels * pixels)

    @property
    def shared_bytes(self) -> int:
        """Bytes that other processes need in shared memory to read them."""
        return 0 if self.is_mapped else self._images.nbytes

    @property
    def is_mapped(self) -> bool:
        """Whether they lie in a file, and come to memory as they are read."""
        return self._file is not None

    @property
    def can_be_sent(self) -> bool:
        """Whether another process would find them; their file may have been removed meanwhile."""
        return self._file is None or self._file.is_there

    def read(self, indices: Tensor) -> Tensor:
        """Return uint8 [B, C, H, W] (or S, S) of indices int64 [B] (CPU), channels last."""
        # `take` copies whole images without the interpreter's lock; elsewhere it copies them all.
        if self._images.flags.c_contiguous:
            rows = np.take(self._images, indices.numpy(), axis=0)
        else:
            rows = np.ascontiguousarray(self._images[indices.numpy()])
        batch = torch.from_numpy(rows).permute(0, 3, 1, 2)
        if self._size is None:
            return batch
        return squared(batch, self._size, self._interpolation)

    def __getitems__(self, indices: Sequence[int]) -> Tensor:
        """Read a batch, as torch's loader asks for it."""
        return self.read(torch.tensor(indices))

    def share(self) -> None:
        """Copy what lies in this process alone to memory that others can open."""
        if not self.is_mapped and self._shared is None:
            empty: Any = torch.empty(self._images.shape, dtype=torch.uint8)
            self._shared = empty.share_memory_()
            shared: NDArray[np.uint8] = empty.numpy()
            np.copyto(shared, self._images)
            self._images = shared

    def __getstate__(self) -> dict[str, Any]:
        """Leave the images out: a process is sent a file's name, or a handle of shared memory."""
        return {**self.__dict__, "_images": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._file is not None:
            self._images = self._file.open()
        elif self._shared is not None:
            self._images = self._shared.numpy()


class _File:
    """A part of a file that an array is mapped from.

    It is the same file as long as device, number and size stay.
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...]) -> None:
        self._path = path
        self._offset = offset
        self._shape = shape
        self._identity = _identity(path)

    @property
    def is_there(self) -> bool:
        """Whether the path still leads to the file it was."""
        try:
            return _identity(self._path) == self._identity
        except OSError:
            return False

    def open(self) -> NDArray[np.uint8]:
        """Map it, read-only.

        Raises:
            UnavailableError: It is not the file it was.
        """
        if self.is_there:
            with contextlib.suppress(OSError):
                return np.memmap(
                    self._path, np.uint8, mode="r", offset=self._offset, shape=self._shape
                )
        raise UnavailableError(f"{self._path}: changed or removed while it was read; run again")


def _identity(path: Path) -> tuple[int, int, int]:
    state = os.stat(path)  # noqa: PTH116 - beside what else is asked of the system here
    return state.st_dev, state.st_ino, state.st_size


def _file_of(images: NDArray[np.uint8]) -> _File | None:
    """Return the file that an array is mapped from as a whole; None where there is none."""
    if not images.flags.c_contiguous:
        return None
    root: Any = images
    while isinstance(root.base, np.ndarray):
        root = root.base
    if not isinstance(root, np.memmap) or not isinstance(root.filename, str | os.PathLike):
        return None
    ahead = images.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    try:
        return _File(Path(root.filename).absolute(), root.offset + ahead, images.shape)
    except OSError:  # removed since; what is mapped can still be read here
        return None
