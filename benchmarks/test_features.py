"""A head on frozen features: computed, from the worker's memory, from the disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.conftest import Build
from sftbench.engine.training import train
from sftbench.warm import Warm


@pytest.mark.parametrize("features", ["computed", "from memory", "from disk"])
def test_head(
    benchmark: Any, workspace: Build, new_warm: Callable[[], Warm], cache: Path, features: str
) -> None:
    """An epoch of the head on 256 images, and their features."""
    warm = new_warm()
    train(workspace("head-only", warm))

    def arguments() -> tuple[tuple[Any], dict[str, Any]]:
        if features == "computed":
            shutil.rmtree(cache / "features", ignore_errors=True)
        memory = warm if features == "from memory" else new_warm()
        return (workspace("head-only", memory),), {}

    benchmark.pedantic(train, setup=arguments, rounds=5)
