"""Wall-clock seconds by purpose, device-synchronised, and peaks of memory."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import psutil
import torch

from sftbench.records import Memory, Timing

Purpose = Literal["setup", "warmup", "compile", "data_wait", "train", "eval", "reliability"]


class Clock:
    """Counts seconds for one cell. Purposes may nest: the inner one's time is not counted twice.

    Args:
        device: Accelerators are synchronised where a measurement ends.

    Attributes:
        shared_by: How many cells run as one problem under this clock.
    """

    def __init__(self, device: torch.device) -> None:
        self.shared_by = 1
        self._device = device
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._start = self._since = time.perf_counter()
        _reset_peaks(device)

    @contextlib.contextmanager
    def measure(self, purpose: Purpose, *, synchronise: bool = True) -> Iterator[None]:
        """Count the time inside for `purpose`."""
        self._switch()
        self._open.append(purpose)
        try:
            yield
        finally:
            if synchronise:
                self.synchronise()
            self._switch()
            self._open.pop()

    def synchronise(self) -> None:
        """Wait until the device has done what was asked of it."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        elif self._device.type == "mps":
            torch.mps.synchronize()

    @property
    def training_seconds(self) -> float:
        """Seconds of training so far: steps and what they waited for, warm-up, no evaluation."""
        shared = sum(self._seconds[purpose] for purpose in ("train", "data_wait", "warmup"))
        return shared / self.shared_by

    def timing(self, drawn: int, warmup: int = 0) -> Timing:
        """Return the record's fields; `total_seconds` is everything since the clock was made.

        Where cells share the clock each gets an equal part.

        Args:
            drawn: Examples drawn by one cell.
            warmup: Those of them whose steps counted as warm-up; the throughput leaves them out.
        """
        share = {key: seconds / self.shared_by for key, seconds in self._seconds.items()}
        training = share.get("train", 0.0) + share.get("data_wait", 0.0)
        steady = drawn > warmup and training > 0
        return Timing(
            setup_seconds=share.get("setup", 0.0),
            warmup_seconds=share.get("warmup", 0.0),
            compile_seconds=share.get("compile", 0.0),
            data_wait_seconds=share.get("data_wait", 0.0),
            train_seconds=share.get("train", 0.0),
            eval_seconds=share.get("eval", 0.0),
            reliability_seconds=share.get("reliability", 0.0),
            total_seconds=(time.perf_counter() - self._start) / self.shared_by,
            examples_per_second=(drawn - warmup) / training if steady else None,
            shared_by_cells=self.shared_by,
        )

    def memory(self) -> Memory:
        """Return the peaks since the clock was made."""
        peak = None
        if self._device.type == "cuda":
            peak = int(torch.cuda.max_memory_allocated(self._device))
        return Memory(peak_device_bytes=peak, peak_rss_bytes=_peak_rss())

    def _switch(self) -> None:
        now = time.perf_counter()
        if self._open:
            self._seconds[self._open[-1]] += now - self._since
        self._since = now


_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def _reset_peaks(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    # Linux gives a process a fresh high-water mark; elsewhere the peak is that of the process.
    with contextlib.suppress(OSError):
        _CLEAR_REFS.write_text("5")


def _peak_rss() -> int:
    """Return the peak resident set in bytes."""
    with contextlib.suppress(OSError, StopIteration):
        lines = _STATUS.read_text().splitlines()
        line = next(line for line in lines if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
