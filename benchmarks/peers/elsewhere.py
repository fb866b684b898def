"""How much of the machine others took while somebody was on the clock."""

from __future__ import annotations

import time

import psutil

_IDLE = ("idle", "iowait", "guest", "guest_nice")  # guests are part of user time


class Elsewhere:
    """Counts from its making: seconds of processors that a process and its children did not use.

    Time that a hypervisor gave to others counts too. Children count once they have ended.

    Args:
        process_id: Of the process on the clock.
    """

    def __init__(self, process_id: int) -> None:
        self._process = psutil.Process(process_id)
        self._start = time.perf_counter()
        self._before = self._busy()

    def cores(self) -> float:
        """Return the processors that others kept busy since then, on average."""
        elapsed = time.perf_counter() - self._start
        return max(0.0, (self._busy() - self._before) / elapsed)

    def _busy(self) -> float:
        machine = psutil.cpu_times()._asdict()
        own = self._process.cpu_times()._asdict()
        busy = sum(seconds for kind, seconds in machine.items() if kind not in _IDLE)
        return float(busy - sum(own[kind] for kind in own if kind != "iowait"))
