from __future__ import annotations

import pytest

from sftbench.errors import RequestError
from sftbench.sizes import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("1000", 1000), ("20GB", 20 * 10**9), ("500MiB", 500 << 20), ("3 k", 3000), ("1TiB", 1 << 40)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "1e9", "1XB", "٣", "1.5GB"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(RequestError, match="write bytes as 20GB"):
        parse_size(text)
