"""sftbench: which way of fine-tuning works, which one fails, and why."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sftbench.results import Results
    from sftbench.session import run

__all__ = ["Results", "__version__", "run"]

_LAZY = {"Results": "sftbench.results", "run": "sftbench.session"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
