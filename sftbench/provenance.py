"""Where and with what a record was made: versions, plugins, commit, hardware."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_PACKAGES = ("sftbench", "torch", "torchvision", "timm", "numpy")
_GIT_SECONDS = 2


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions that may change a result."""
    return {"python": platform.python_version(), **versions_of(_PACKAGES)}


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the installed version of each package."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


@functools.cache
def git() -> dict[str, Any] | None:
    """Return commit and dirty flag of sftbench's own checkout; None for an installed package."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        dirty = bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": dirty}


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
        command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=True
    )
    return done.stdout.strip()


@functools.cache
def hardware(device: str) -> dict[str, Any]:
    """Return processor, cores and, for CUDA, the accelerator's name and memory in bytes."""
    import psutil

    found: dict[str, Any] = {
        "device": device,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
    }
    if device.startswith("cuda"):
        import torch

        properties = torch.cuda.get_device_properties(device)
        found["accelerator"] = properties.name
        found["accelerator_bytes"] = properties.total_memory
    return found


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
