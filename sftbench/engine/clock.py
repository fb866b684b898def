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

Purpose = Literal["setup", "warmup", "compile", "data_wait", "train", "eval"]


class Clock:
    """Counts seconds for one cell. Purposes may nest: the inner one's time is not counted twice.

    Args:
        device: Accelerators are synchronised where a measurement ends.
    """

    def __init__(self, device: torch.device) -> None:
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

    def timing(self, drawn_examples: int) -> Timing:
        """Return the record's fields; `total_seconds` is everything since the clock was made."""
        training = self._seconds["train"] + self._seconds["data_wait"]
        return Timing(
            setup_seconds=self._seconds["setup"],
            warmup_seconds=self._seconds["warmup"],
            compile_seconds=self._seconds["compile"],
            data_wait_seconds=self._seconds["data_wait"],
            train_seconds=self._seconds["train"],
            eval_seconds=self._seconds["eval"],
            total_seconds=time.perf_counter() - self._start,
            examples_per_second=drawn_examples / training if training > 0 else None,
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
