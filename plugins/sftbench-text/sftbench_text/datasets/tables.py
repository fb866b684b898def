"""Reading tables whose cells are long texts."""

from __future__ import annotations

import csv
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MAX_TEXT: Final = 16 << 20
"""Characters of one cell at most."""
_lock = threading.Lock()


@contextmanager
def large_fields() -> Iterator[None]:
    """Let the csv module read cells of up to 16 million characters, not of 131,072 alone."""
    with _lock:
        before = csv.field_size_limit(MAX_TEXT)
        try:
            yield
        finally:
            csv.field_size_limit(before)
