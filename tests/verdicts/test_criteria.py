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
        "overfit_gap": 0.1,
        "overfit_rise": 1.1,
        "calibration_error": 0.05,
        "calibration_factor": 2.0,
        "forgetting_drop": 0.1,
        "fragile_drop": 0.05,
    }


def test_lines_show_every_threshold() -> None:
    odd = {
        "alpha": (0.031, "p < 0.031"),
        "level": (0.91, "91 %"),
        "margin": (0.023, ">= 0.023"),
        "divergence_factor": (1.7, "1.7 x that of knowing nothing"),
        "collapse_share": (0.43, "0.43/C"),
        "imbalance_ratio": (2.5, "2.5:1"),
        "unstable_factor": (3.3, "3.3 binomial"),
        "overfit_gap": (0.12, "train - test > 0.12"),
        "overfit_rise": (1.3, "1.3 x its least"),
        "calibration_error": (0.07, "ECE > 0.07"),
        "calibration_factor": (2.2, "> 2.2 x and 0.023 above head-only's"),
        "forgetting_drop": (0.21, "0.21 lower"),
        "fragile_drop": (0.06, "0.06 below"),
    }
    assert odd.keys() == Criteria.model_fields.keys()
    criteria = Criteria(**{name: value for name, (value, _) in odd.items()})
    lines = criteria.line() + criteria.soft_line()
    assert [text for _, text in odd.values() if text not in lines] == []


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
