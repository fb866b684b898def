"""The parts that every rendering of a comparison is made of, and how numbers are written."""

from __future__ import annotations

from dataclasses import dataclass

from sftbench.records import MetricSpec
from sftbench.report.wording import NONE, Style, number
from sftbench.verdicts.across import Estimate
from sftbench.verdicts.effects import TIE


@dataclass(frozen=True, slots=True)
class Heading:
    """A title; `level` 1 is a section, 2 a part of it."""

    text: str
    level: int


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence."""

    text: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Names, and what is said of each."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """A table; columns in `left` hold text."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: frozenset[int]


@dataclass(frozen=True, slots=True)
class Drawing:
    """Lines that must stay as they are."""

    lines: tuple[str, ...]


Block = Heading | Line | Facts | Grid | Drawing


def figure(value: float, metric: MetricSpec | None, *, signed: bool = False) -> str:
    """Return a metric's value as tables show it: `.841`, `+.043`."""
    return number(value, metric, Style(compact=True), signed=signed)


def figure_or_none(value: float | None, metric: MetricSpec) -> str:
    """Return a metric's value, or a dash."""
    return NONE if value is None else figure(value, metric)


def gap_text(value: float, metric: MetricSpec) -> str:
    """Return a difference with its sign; a tie is told as one."""
    return "tie" if abs(value) <= TIE else figure(value, metric, signed=True)


def interval_text(
    interval: tuple[float, float], metric: MetricSpec | None, *, signed: bool = True
) -> str:
    """Return `[+.028, +.058]`."""
    low, high = (figure(end, metric, signed=signed) for end in interval)
    return f"[{low}, {high}]"


def estimate_text(one: Estimate | None, metric: MetricSpec | None, *, signed: bool = False) -> str:
    """Return a number with its interval, or a dash."""
    if one is None:
        return NONE
    text = figure(one.value, metric, signed=signed)
    if one.low is None or one.high is None:
        return text
    return f"{text} {interval_text((one.low, one.high), metric, signed=signed)}"


def p_text(value: float) -> str:
    """Return a p-value to three decimals."""
    return "<.001" if value < 0.001 else figure(value, None)
