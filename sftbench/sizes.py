"""Numbers of bytes as people write them."""

from __future__ import annotations

import re
from typing import Final

from sftbench.errors import RequestError
from sftbench.names import shown

_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_UNITS_BINARY: Final = {"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}


def parse_size(text: str) -> int:
    """Return the bytes of `500MiB`, `20GB` or `1000`.

    Raises:
        RequestError: It is none of these.
    """
    match = re.fullmatch(r"(\d{1,12})\s*([kmgt]i?)?b?", text.strip().lower(), re.ASCII)
    if match is None:
        raise RequestError(f"size {shown(text)}: write bytes as 20GB, 500MiB or 1000")
    return int(match[1]) * (_UNITS | _UNITS_BINARY)[match[2] or ""]
