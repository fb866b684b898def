"""Drawings of a leaderboard."""

from __future__ import annotations

from sftbench.leaderboard.standings import Standings
from sftbench.pages.plots import SERIES, Plot, drawing, finished, short_labels

_MOST_DRAWN = 20
_LINE_INCHES = 0.26


def standings_plot(standings: Standings, name: str) -> Plot:
    """Draw mean ranks with their intervals, the best on top; the data has every line."""
    shown = standings.lines[:_MOST_DRAWN]
    with drawing(height=0.9 + _LINE_INCHES * len(shown)) as axes:
        places = list(range(len(shown), 0, -1))
        for place, line in zip(places, shown, strict=True):
            if line.rank_low is not None and line.rank_high is not None:
                axes.plot([line.rank_low, line.rank_high], [place, place], color=SERIES[0])
        axes.plot([line.mean_rank for line in shown], places, "o", color=SERIES[0])
        axes.set_yticks(places, short_labels([line.label for line in shown], 32))
        axes.set_ylim(0.4, len(shown) + 0.6)
        axes.set_xlabel(f"mean rank over {standings.num_units} units (1 is best)")
        axes.grid(visible=False, axis="y")
        best = shown[0]
        rest = len(standings.lines) - len(shown)
        return finished(
            axes,
            name=name,
            alt=f"Mean ranks over {standings.num_units} units; the best of {len(standings.lines)} "
            f"is {best.label} with {best.mean_rank:.2f}" + (f"; not drawn: {rest}" if rest else ""),
            columns=("name", "mean rank", "low", "high"),
            rows=[
                (one.label, one.mean_rank, one.rank_low, one.rank_high) for one in standings.lines
            ],
        )
