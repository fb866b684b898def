from __future__ import annotations

import pytest
from pydantic import ValidationError

from sftbench.errors import RequestError
from sftbench.verdicts.criteria import Criteria


def test_defaults() -> None:
    assert Criteria().model_dump() == {
        "alpha": 0.05,
        "level": 0.95,
        "margin": 0.01,
        "divergence_factor": 1.5,
        "collapse_share": 0.5,
        "imbalance_ratio": 2.0,
        "unstable_factor": 3.0,
    }


def test_line_shows_every_threshold() -> None:
    odd = Criteria(
        alpha=0.031,
        level=0.91,
        margin=0.023,
        divergence_factor=1.7,
        collapse_share=0.43,
        imbalance_ratio=2.5,
        unstable_factor=3.3,
    )
    for text in ("0.031", "91 %", "0.023", "1.7 x", "0.43/C", "2.5:1", "3.3 binomial"):
        assert text in odd.line()


def test_overrides_leave_the_rest() -> None:
    assert Criteria(margin=0.02).overridden({"alpha": 0.01}) == Criteria(margin=0.02, alpha=0.01)
    assert Criteria().overridden({}) == Criteria()


def test_an_unknown_key_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        RequestError, match=r"criteria has no option 'margn'; did you mean 'margin'"
    ):
        Criteria().overridden({"margn": 0.02})


@pytest.mark.parametrize("changes", [{"alpha": 0.0}, {"alpha": float("nan")}, {"level": 1.0}])
def test_a_value_out_of_range_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(RequestError, match="criteria: "):
        Criteria().overridden(changes)


def test_it_is_frozen() -> None:
    with pytest.raises(ValidationError):
        Criteria().alpha = 0.1
