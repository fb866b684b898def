from __future__ import annotations

import multiprocessing
import pickle
import re
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sftbench.data.stored import StoredImages
from sftbench.errors import UnavailableError


def images(num: int = 10) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (num, 6, 7, 3), dtype=np.uint8)


@pytest.fixture
def mapped(tmp_path: Path) -> NDArray[np.uint8]:
    np.save(tmp_path / "images.npy", images())
    found: NDArray[np.uint8] = np.load(tmp_path / "images.npy", mmap_mode="r")
    return found


def expected(given: Any, indices: list[int]) -> torch.Tensor:
    return torch.from_numpy(np.array(given)[indices]).permute(0, 3, 1, 2)


def test_images_are_read_with_their_channels_first(mapped: NDArray[np.uint8]) -> None:
    for given in (mapped, images(), images()[:, ::-1], images(20)[::2], np.asarray(mapped)[3:]):
        found = StoredImages(given).read(torch.tensor([4, 0, 4]))
        assert torch.equal(found, expected(given, [4, 0, 4]))


def test_what_is_mapped_is_opened_anew_by_path(mapped: NDArray[np.uint8]) -> None:
    for given in (mapped, np.asarray(mapped), mapped[2:9], mapped[3:].reshape(7, 6, 21, 1)):
        stored = StoredImages(given)
        assert stored.is_mapped
        assert stored.shared_bytes == 0
        sent = pickle.dumps(stored)
        assert len(sent) < 1000
        again = pickle.loads(sent)
        assert torch.equal(again.read(torch.tensor([5, 1])), stored.read(torch.tensor([5, 1])))
    for given in (mapped[:, ::-1], mapped[::2], images()):  # of these no path and place tell
        assert not StoredImages(given).is_mapped


def test_another_file_of_that_name_is_not_read(mapped: NDArray[np.uint8], tmp_path: Path) -> None:
    file = tmp_path / "images.npy"
    sent = pickle.dumps(StoredImages(mapped))
    file.unlink()
    message = re.escape(f"{file}: changed or removed while it was read; run again")
    with pytest.raises(UnavailableError, match=message):
        pickle.loads(sent)
    np.save(file, images()[::-1])
    with pytest.raises(UnavailableError, match=message):
        pickle.loads(sent)
    # A file that is gone when it is first looked for can still be read here.
    file.unlink()
    stored = StoredImages(mapped)
    assert not stored.is_mapped
    assert torch.equal(stored.read(torch.tensor([3])), expected(images(), [3]))


def _sums(stored: StoredImages, end: Connection) -> None:
    end.send(int(stored.read(torch.arange(10)).to(torch.int64).sum()))


def test_what_is_in_memory_is_shared() -> None:
    frozen = images()
    frozen.flags.writeable = False
    stored = StoredImages(frozen)
    assert stored.shared_bytes == frozen.nbytes
    stored.share()
    assert torch.equal(stored.read(torch.tensor([3, 2])), expected(frozen, [3, 2]))
    here, there = multiprocessing.Pipe()
    process = torch.multiprocessing.get_context("fork").Process(target=_sums, args=(stored, there))
    process.start()
    assert here.recv() == int(frozen.sum())
    process.join()


def test_reading_may_resize() -> None:
    stored = StoredImages(images(), size=4, interpolation="bilinear")
    found = stored.read(torch.tensor([1]))
    assert found.shape == (1, 3, 4, 4)
    assert stored.image_bytes == 3 * 4 * 4
    assert StoredImages(images()).image_bytes == 3 * 6 * 7
