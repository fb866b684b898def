from __future__ import annotations

import pytest
import torch

from sftbench.data import placement
from sftbench.data.placement import DEVICE_SHARE, HOST_BYTES, Need, choose, free_bytes

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
GIB = 1 << 30


def need(num_bytes: int, *, read: int = 0) -> Need:
    return Need(rows=1024, kept_bytes=num_bytes // 1024, read_bytes=read // 1024)


def test_what_fits_stays_and_what_does_not_streams() -> None:
    assert choose("auto", need(HOST_BYTES), CPU) == ("device", HOST_BYTES // (2 << 20))
    assert choose("auto", need(HOST_BYTES + 1024), CPU) == ("stream", 0)
    assert choose("auto", need(GIB, read=GIB), CPU)[0] == "device"
    assert choose("auto", need(GIB, read=GIB + 1024), CPU) == ("stream", 0)


def test_of_an_accelerator_a_share_of_its_free_memory_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (80 * GIB, 90 * GIB))
    assert free_bytes(CUDA) == 80 * GIB
    limit = int(DEVICE_SHARE * 80 * GIB)
    assert choose("auto", need(limit), CUDA)[0] == "device"
    assert choose("auto", need(limit + 1024), CUDA) == ("stream", 0)


def test_a_choice_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose("stream", need(1024), CPU) == ("stream", 0)
    monkeypatch.setattr(placement, "free_bytes", lambda _device: 3 * GIB)
    assert choose("device", need(3 * GIB), CPU) == ("device", 1024)
    with pytest.raises(MemoryError) as caught:
        choose("device", need(4 * GIB), CPU)
    assert str(caught.value) == (
        "the images take 4.0 GiB, and cpu has 3.0 GiB free; use --placement auto or stream"
    )


def test_memory_of_the_processor_is_what_the_system_has() -> None:
    assert free_bytes(CPU) > 1 << 20
