from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from support.executing import gone

from sftbench.data.prefetch import READERS, Prefetch, num_processes
from sftbench.data.stored import StoredImages
from sftbench.errors import RequestError

CPU = torch.device("cpu")
IMAGES = np.random.default_rng(0).integers(0, 256, (30, 4, 4, 3), dtype=np.uint8)
PLAN = [torch.tensor(rows) for rows in ([3, 1], [29], [0, 7, 7], [2], [5, 4], [6, 8])]


def prefetch(processes: int = 0) -> Prefetch:
    return Prefetch(StoredImages(IMAGES), CPU, processes)


def take_all(ahead: Prefetch, plan: list[torch.Tensor]) -> None:
    for batch in plan:
        assert ahead.take(batch) is not None


def expected(indices: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(IMAGES[indices.numpy()]).permute(0, 3, 1, 2)


def readers() -> list[psutil.Process]:
    """Return the processes that read for this one."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def num_threads() -> int:
    return sum(thread.name.startswith("sftbench-reader") for thread in threading.enumerate())


def test_a_thread_reads_the_plan_in_its_order() -> None:
    ahead = prefetch()
    assert ahead.take(PLAN[0]) is None
    for _ in range(2):
        ahead.start(PLAN)
        for batch in PLAN:
            assert ahead.take(torch.tensor([9, 9])) is None
            found = ahead.take(batch)
            assert found is not None
            assert torch.equal(found, expected(batch))
        assert ahead.take(PLAN[0]) is None
    ahead.start(PLAN)
    ahead.take(PLAN[0])
    ahead.start(PLAN)  # a stage that was not run to its end
    found = ahead.take(PLAN[0])
    assert found is not None
    assert num_threads() == 1
    ahead.close()
    assert num_threads() == 0
    assert ahead.take(PLAN[1]) is None
    ahead.close()


def test_only_the_latest_reads() -> None:
    first, second = prefetch(), prefetch()
    first.start(PLAN)
    second.start(PLAN)
    assert first.take(PLAN[0]) is None
    assert second.take(PLAN[0]) is not None
    assert num_threads() == 1
    second.close()


def test_what_goes_wrong_in_reading_is_told() -> None:
    ahead = prefetch()
    ahead.start([torch.tensor([99])])
    with pytest.raises(IndexError):
        ahead.take(torch.tensor([99]))
    ahead.close()


def test_processes_read_the_plan_and_end_with_it() -> None:
    before = torch.random.get_rng_state()
    ahead = prefetch(1)
    for _ in range(2):
        ahead.start(PLAN)
        for batch in PLAN[:4]:  # the second plan begins while the first is under way
            found = ahead.take(batch)
            assert found is not None
            assert torch.equal(found, expected(batch))
    assert torch.equal(torch.random.get_rng_state(), before)
    [reader] = readers()
    ahead.close()
    assert gone(reader.pid)
    assert ahead.take(PLAN[4]) is None


def test_a_reader_that_died_fails_the_plan_that_ran_and_no_later_one() -> None:
    ahead = prefetch(1)
    ahead.start(PLAN)
    assert ahead.take(PLAN[0]) is not None
    [reader] = readers()
    with pytest.raises(RuntimeError, match="killed by signal"):  # noqa: PT012 - it comes any time
        reader.kill()
        reader.wait(10)
        take_all(ahead, PLAN[1:])
    ahead.start(PLAN)
    found = ahead.take(PLAN[0])
    assert found is not None
    assert torch.equal(found, expected(PLAN[0]))
    ahead.close()


def test_what_lies_in_a_file_that_is_gone_is_read_by_a_thread(tmp_path: Path) -> None:
    file = tmp_path / "images.npy"
    np.save(file, IMAGES)
    ahead = Prefetch(StoredImages(np.load(file, mmap_mode="r")), CPU, 1)
    file.unlink()
    ahead.start(PLAN)
    assert not readers()
    found = ahead.take(PLAN[0])
    assert found is not None
    assert torch.equal(found, expected(PLAN[0]))
    ahead.close()


SCRIPT = """
import numpy, os, psutil, signal, torch
from sftbench.data.prefetch import Prefetch
from sftbench.data.stored import StoredImages
print("once", flush=True)
ahead = Prefetch(StoredImages(numpy.zeros((9, 4, 4, 3), dtype=numpy.uint8)), torch.device("cpu"), 1)
ahead.start([torch.tensor([1, 2])] * 9)
assert ahead.take(torch.tensor([1, 2])).shape == (2, 3, 4, 4)
children = psutil.Process().children()
print(*(c.pid for c in children if "spawn_main" in " ".join(c.cmdline())), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_script_needs_no_guard_and_its_readers_do_not_survive_it(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script], check=False, capture_output=True, text=True)
    first, pids = done.stdout.splitlines()
    assert first == "once", done.stderr
    assert len(pids.split()) == 1
    assert gone(int(pids), seconds=15.0)  # torch looks for the parent every five seconds


@pytest.mark.parametrize(("threads", "num"), [(1, 0), (7, 0), (8, 1), (32, 4), (200, 8)])
def test_a_processor_keeps_its_cores(
    threads: int, num: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert num_processes(StoredImages(IMAGES), 8, CPU) == num


@pytest.mark.parametrize(("threads", "num"), [(1, 0), (2, 1), (8, 7), (64, 8)])
def test_an_accelerator_leaves_its_cores_to_reading(
    threads: int, num: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert num_processes(StoredImages(IMAGES), 8, torch.device("cuda", 0)) == num


def test_where_shared_memory_is_small_a_thread_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    batch = 1 << 40
    assert num_processes(StoredImages(IMAGES), batch, torch.device("cuda", 0)) == 0


def test_the_number_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(READERS, "3")
    assert num_processes(StoredImages(IMAGES), 8, CPU) == 3
    monkeypatch.setenv(READERS, "many")
    with pytest.raises(RequestError) as caught:
        num_processes(StoredImages(IMAGES), 8, CPU)
    assert str(caught.value) == "SFTBENCH_READERS is 'many'; it is a number from 0 to 99"
