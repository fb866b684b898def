"""The study's figures: as JSON, and as tables for a page."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from benchmarks.verdicts.study import GAINS, SEEDS, Rates, Setting
from sftbench import __version__
from sftbench.verdicts.criteria import Criteria

Row = dict[str, Any]
COMMAND = "python -m benchmarks.verdicts"


def row_of(setting: Setting, rates: Rates) -> Row:
    """Return what is kept of a setting."""
    return {
        "key": setting.key,
        "kind": setting.kind,
        "regime": setting.regime.name,
        "says": setting.regime.says,
        "examples": setting.regime.num_examples,
        "is_stored": not hasattr(setting.regime, "accuracy"),
        "gain": setting.gains[1],
        "seeds": setting.num_seeds,
        **asdict(rates),
    }


def as_json(rows: Sequence[Row], trials: int) -> str:
    """Return everything as JSON, a row a line."""
    head = {
        "command": f"{COMMAND} --trials {trials}",
        "versions": {
            "sftbench": __version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "python": platform.python_version(),
        },
        "criteria": Criteria().model_dump(),
    }
    lines = ",\n".join(json.dumps(row) for row in rows)
    return f'{json.dumps(head)[:-1]},\n"rows": [\n{lines}\n]}}\n'


def read(path: Path) -> dict[str, Any]:
    """Return the figures of a file that `as_json` made."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def tables(figures: dict[str, Any]) -> dict[str, str]:
    """Return the tables in Markdown, by name."""
    rows: list[Row] = figures["rows"]
    same = [row for row in rows if row["kind"] == "same"]
    simulated = [row for row in same if not row["is_stored"]]
    stored = [row for row in same if row["is_stored"]]
    return {
        "regimes": _regimes(simulated),
        "false alarms": _by_seeds(simulated, _alarms),
        "coverage": _by_seeds(simulated, lambda row: f"{100 * row['covered']:.1f}"),
        "stored": _stored(stored),
        "family": _family([row for row in rows if row["kind"] == "family"]),
        "power": _power([row for row in rows if row["kind"] == "gain"]),
        "stored pairs": _pairs([row for row in rows if row["kind"] == "stored"]),
        "summary": _summary(rows),
    }


def as_markdown(figures: dict[str, Any]) -> str:
    """Return a page of all tables."""
    parts = [f"# Verdicts, simulated\n\n    {figures['command']}\n"]
    parts += [f"## {name.capitalize()}\n\n{text}\n" for name, text in tables(figures).items()]
    return "\n".join(parts)


def with_tables(page: str, figures: dict[str, Any]) -> str:
    """Return a page whose tables between `<!-- study: NAME -->` and `<!-- end -->` are these."""
    found = tables(figures)

    def renewed(match: re.Match[str]) -> str:
        return f"<!-- study: {match[1]} -->\n{found[match[1]]}\n<!-- end -->"

    return re.sub(r"<!-- study: ([a-z ]+) -->\n.*?<!-- end -->", renewed, page, flags=re.DOTALL)


def _lines(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def _named(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["regime"], row["says"]), []).append(row)
    return found


def _regimes(rows: Sequence[Row]) -> str:
    lines = [[name, says, each[0]["examples"]] for (name, says), each in _named(rows).items()]
    return _lines(["regime", "what varies", "test examples"], lines)


def _alarms(row: Row) -> str:
    return f"{100 * row['sign_flip']:.1f} → {100 * (row['success'] + row['failure']):.1f}"


def _by_seeds(rows: Sequence[Row], cell: Callable[[Row], str]) -> str:
    lines = []
    for (name, _), each in _named(rows).items():
        by_seeds = {row["seeds"]: cell(row) for row in each}
        lines.append([name, *(by_seeds.get(count, "-") for count in SEEDS)])
    return _lines(["regime", *(f"{count} seeds" for count in SEEDS)], lines)


def _stored(rows: Sequence[Row]) -> str:
    lines = []
    for count in sorted({row["seeds"] for row in rows}):
        each = [row for row in rows if row["seeds"] == count]
        decided = [row["success"] + row["failure"] for row in each]
        lines.append(
            [
                count,
                len(each),
                _range([row["sign_flip"] for row in each]),
                _range(decided),
                _range([row["covered"] for row in each]),
            ]
        )
    head = ["seeds", "groups", "sign-flip alone", "success or failure", "covered"]
    return _lines(head, lines)


def _range(values: Sequence[float]) -> str:
    """Return median (least..most) in percent."""
    if not values:
        return "-"
    low, middle, high = (100 * float(np.quantile(values, q)) for q in (0.0, 0.5, 1.0))
    return f"{middle:.1f} ({low:.1f}..{high:.1f})"


def _family(rows: Sequence[Row]) -> str:
    lines = [
        [
            row["regime"],
            f"{100 * row['any_sign_flip']:.1f}",
            f"{100 * row['any_unadjusted']:.1f}",
            f"{100 * row['any_decided']:.1f}",
        ]
        for row in rows
    ]
    head = ["sign flips alone, by Holm", "with the interval as it is", "verdicts: both by Holm"]
    return _lines(["regime", *head], lines)


def _power(rows: Sequence[Row]) -> str:
    lines = []
    for (name, _), each in _named(rows).items():
        for gain in GAINS:
            found = {row["seeds"]: row for row in each if row["gain"] == gain}
            cells = [f"{100 * found[n]['success']:.0f}" if n in found else "-" for n in SEEDS]
            lines.append([name, f"{100 * gain:+.0f} points", *cells])
    return _lines(["regime", "truth", *(f"{count} seeds" for count in SEEDS)], lines)


def _pairs(rows: Sequence[Row]) -> str:
    lines = [
        [
            row["regime"],
            f"{100 * row['truth']:+.1f}",
            f"{100 * row['success']:.0f} / {100 * row['failure']:.0f}",
            f"{100 * row['covered']:.1f}",
        ]
        for row in rows
    ]
    return _lines(["stored pair", "truth, points", "success / failure", "covered"], lines)


def _summary(rows: Sequence[Row]) -> str:
    """Return the worst figures over all settings, beside what was to be reached."""
    same = [row for row in rows if row["kind"] == "same"]
    lines = []
    for name, each in (
        ("simulated", [row for row in same if not row["is_stored"]]),
        ("stored predictions", [row for row in same if row["is_stored"]]),
    ):
        decided = [row["success"] + row["failure"] for row in each]
        covered = [row["covered"] for row in each]
        inside = sum(0.93 <= value <= 0.97 for value in covered)
        lines += [
            [f"success or failure on A/A, {name}", "at most 5", _range(decided)],
            [f"coverage, {name}", "93 to 97", f"{_range(covered)}; {inside} of {len(each)} inside"],
        ]
    return _lines(["", "to reach, %", "median (least..most), %"], lines)
