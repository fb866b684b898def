"""How a broken component is noted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sftbench.catalog import KINDS

BROKEN: list[Any] = []


def breaks(rule: str, says: str) -> Callable[[type], type]:
    """Note that a class breaks one rule, and what the finding says of it."""

    def note(cls: type) -> type:
        kind = next(kind for kind, base in KINDS.items() if issubclass(cls, base))
        cls.name = getattr(cls, "name", "broken")
        cls.summary = getattr(cls, "summary", "") or "broken"
        cls.__doc__ = cls.__doc__ or "Broken."
        BROKEN.append(pytest.param(kind, cls, rule, says, id=f"{kind}-{cls.__name__}"))
        return cls

    return note
