"""The leaderboard of 100,000 records (benchmarks/many_records.py): time and peak memory.

Writing the store takes longer than all the rest, so a folder that `python -m
benchmarks.many_records FOLDER` made can be named: SFTBENCH_MANY_RECORDS=FOLDER.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.many_records import BACKBONES, DATASETS, SEEDS, STRATEGIES, VARIANTS, make_store

MOST_BYTES = 2 << 30


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of 100,000 records."""
    named = os.environ.get("SFTBENCH_MANY_RECORDS")
    if named:
        return Path(named)
    folder = tmp_path_factory.mktemp("many") / "store"
    make_store(folder)
    return folder


def test_build(benchmark: Any, store: Path, tmp_path: Path) -> None:
    """From the folder to the site, in processes of its own."""
    command = [sys.executable, "-m", "sftbench", "leaderboard", "build", str(store), "-o", "site"]
    done = benchmark.pedantic(
        lambda: subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True),
        rounds=1,
    )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    benchmark.extra_info["cpu_seconds"] = used.ru_utime + used.ru_stime
    benchmark.extra_info["peak_bytes_of_one_process"] = used.ru_maxrss * 1024
    num_records = DATASETS * VARIANTS * BACKBONES * STRATEGIES * SEEDS
    num_packages = 2  # what is built in, and the tiny components
    num_pages = 1 + DATASETS + BACKBONES + STRATEGIES + num_packages
    assert f"{num_pages} pages of {num_records} records" in done.stderr
    assert used.ru_maxrss * 1024 < MOST_BYTES
