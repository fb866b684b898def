"""The last blocks train, and nothing before them."""

from __future__ import annotations

import pytest

from sftbench.builtin.strategies.partial import Partial
from sftbench.errors import RequestError
from sftbench.testing import check_component, run_tiny

# Parameters of the tiny network's blocks (convolution, norm), and of the head.
BLOCKS = (8 * 27 + 16, 12 * 72 + 24, 16 * 108 + 32)
HEAD = 16 * 4 + 4


@pytest.mark.parametrize(("blocks", "frozen"), [(0, 3), (1, 2), (2, 1), (3, 0), (99, 0)])
def test_the_last_blocks_and_the_head_train(blocks: int, frozen: int) -> None:
    record, _ = run_tiny(Partial, settings={"blocks": blocks})
    assert record.status == "ok"
    [stage] = record.stages
    assert stage.trainable == sum(BLOCKS[frozen:]) + HEAD
    assert stage.frozen_blocks == frozen
    assert stage.cached_features is (frozen > 0)


def test_a_number_below_none_is_refused() -> None:
    with pytest.raises(RequestError, match="greater than or equal to 0"):
        run_tiny(Partial, settings={"blocks": -1})


def test_the_contract_holds() -> None:
    assert [str(one) for one in check_component("strategy", Partial) if one.problem] == []
