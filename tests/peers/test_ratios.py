from __future__ import annotations

import pytest

from benchmarks.peers.items import Comparison
from benchmarks.peers.ratios import Spread, Total, ratio, spread
from benchmarks.peers.targets import TARGETS, reached, rows

ROUNDS = [
    {"sftbench": Total(2.0, 100), "article": Total(10.0, 100), "fastai": Total(4.0, 100)},
    {"sftbench": Total(2.0, 100), "article": Total(5.0, 100), "fastai": Total(8.0, 100)},
    {"sftbench": Total(1.0, 100), "bare": Total(1.0, 125)},
]


def test_speed_is_by_images_and_time_by_seconds() -> None:
    assert ratio(Comparison("", "sftbench", "bare"), ROUNDS[2]) == pytest.approx(0.8)
    assert ratio(Comparison("", "sftbench", "article", "time"), ROUNDS[0]) == pytest.approx(0.2)


def test_the_best_peer_is_found_anew_in_each_round_and_the_limits_are_none() -> None:
    found = spread(Comparison("peers", "sftbench", "peers"), ROUNDS)
    assert found == Spread(2.25, 2.0, 2.5)


def test_a_round_without_an_entry_has_no_ratio() -> None:
    assert ratio(Comparison("", "sftbench", "bare"), ROUNDS[0]) is None
    assert spread(Comparison("", "sftbench", "lightning"), ROUNDS) is None


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.954, 0.961, 0.9], "0.95 (0.90..0.96)"),
        ([31.24], "31.2 (31.2..31.2)"),
        ([99, 120, 1000], "120 (99..1000)"),
    ],
)
def test_a_spread_is_shown_to_two_or_three_digits(values: list[float], text: str) -> None:
    assert str(Spread.of(values)) == text


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.key)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_bound_holds_at_the_bound_and_not_beyond(target, device) -> None:
    bound = target.cuda if device == "cuda" else target.cpu
    if bound is None:
        assert reached(target, Spread(1, 1, 1), device) is None
        return
    worse = bound - 0.1 if target.sense == ">=" else bound + 0.1
    assert reached(target, Spread(bound, 0, 1e9), device) is True
    assert reached(target, Spread(worse, 0, 1e9), device) is False


def test_every_row_is_shown_measured_or_not() -> None:
    found = {"bare": Spread(0.9, 0.8, 1.0), "passes": Spread(0.0, 0.0, 0.0)}
    shown = rows(found, "cpu", quick=False)
    assert len(shown) == len(TARGETS) == 9
    by_text = {row.text: (row.measured, row.verdict) for row in shown}
    assert by_text[TARGETS[0].text] == ("0.90 (0.80..1.00)", "NOT REACHED")
    assert by_text["second head-only strategy, backbone passes"] == ("0", "reached")
    assert by_text[TARGETS[1].text] == ("not measured", "-")
    assert {row.verdict for row in rows(found, "cpu", quick=True)} == {"quick", "-"}
