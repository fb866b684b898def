"""sftbench: which way of fine-tuning works, which one fails, and why."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sftbench.importing import Outcome, import_results, labels_as_predictions
    from sftbench.results import Results
    from sftbench.session import run

__all__ = [
    "Outcome",
    "Results",
    "__version__",
    "import_results",
    "labels_as_predictions",
    "run",
]

_LAZY = {
    "Outcome": "sftbench.importing",
    "Results": "sftbench.results",
    "import_results": "sftbench.importing",
    "labels_as_predictions": "sftbench.importing",
    "run": "sftbench.session",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
