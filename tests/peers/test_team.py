from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from benchmarks.peers.elsewhere import Elsewhere
from benchmarks.peers.team import ContestantError, team


def test_an_unknown_contestant_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    with team(tmp_path) as crew, pytest.raises(ContestantError) as caught:
        crew.ask("keras", "load")
    assert str(caught.value).startswith(
        "no contestant 'keras'; there are bare, bare-plain, article"
    )


def test_a_mistake_is_one_line_and_the_process_goes_on_until_it_dies(tmp_path: Path) -> None:
    with team(tmp_path) as crew:
        with pytest.raises(ContestantError, match=r"TypeError: .*unexpected keyword argument"):
            crew.ask("bare-plain", "run", {"nonsense": 1})
        assert crew.ask("bare-plain", "load") is None
        assert (tmp_path / "bare-plain.log").read_text().count("Traceback") == 1
        for process in crew._processes.values():
            process.kill()
        with pytest.raises(ContestantError, match="its process ended with code -9"):
            crew.ask("bare-plain", "load")


def test_what_others_take_of_the_machine_is_not_ones_own() -> None:
    own, strangers = Elsewhere(os.getpid()), Elsewhere(os.getppid())
    start, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - start < 0.5:
        pass
    mine = (time.process_time() - used) / (time.perf_counter() - start)
    assert mine > 0.05
    assert strangers.cores() - own.cores() == pytest.approx(mine, abs=0.2)
