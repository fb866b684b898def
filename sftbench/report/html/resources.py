"""Plots of time and memory."""

from __future__ import annotations

import numpy as np

from sftbench.pages.blocks import Figure
from sftbench.pages.plots import GRID, MUTED, SERIES, WIDTH, drawing, finished
from sftbench.report.html.axes import MAX_BARS, left, legend, names, told
from sftbench.report.html.series import parts_of_time
from sftbench.report.html.source import SectionView


def times(view: SectionView) -> Figure | None:
    """Draw what a cell's time goes to."""
    found = [
        (one.row.label, parts_of_time(records))
        for one in view.rows
        if (records := list(one.group.completed.values()))
    ]
    if not found:
        return None
    purposes = list(found[0][1])
    shown = found[:MAX_BARS]
    looks = dict(zip(purposes, (SERIES[7], *SERIES[:4], GRID), strict=True))
    # A part that takes no time anywhere needs no place in the legend.
    taken = {name: look for name, look in looks.items() if any(parts[name] for _, parts in shown)}
    colours = taken or looks
    with drawing(WIDTH, 1.6 + 0.26 * len(shown)) as axes:
        start = np.zeros(len(shown))
        for name, colour in colours.items():
            values = np.array([parts[name] for _, parts in shown])
            axes.barh(
                range(len(shown)),
                values,
                left=start,
                height=0.62,
                color=colour,
                label=name,
                edgecolor=MUTED,
                linewidth=0.3,
            )
            start += values
        names(axes, [name for name, _ in shown])
        axes.set_xlabel("seconds per cell")
        legend(axes, columns=3)
        plot = finished(
            axes,
            name=f"time-{view.key}",
            alt="Seconds per cell: "
            + told((name, f"{sum(parts.values()):.3g}") for name, parts in found),
            columns=("strategy", *(f"{name.replace(' ', '_')}_seconds" for name in purposes)),
            rows=[(name, *parts.values()) for name, parts in found],
        )
    return Figure(
        plot=plot,
        caption=f"Time of a completed cell, mean over seeds.{left(len(found) - len(shown))}",
    )


def memory(view: SectionView) -> Figure | None:
    """Draw the highest peak of memory."""
    found = [
        (one.row.label, one.row.peak_bytes, one.row.peak_kind)
        for one in view.rows
        if one.row.peak_bytes
    ]
    if not found:
        return None
    shown = found[:MAX_BARS]
    with drawing(WIDTH, 0.9 + 0.26 * len(shown)) as axes:
        colours = [SERIES[0] if kind == "device" else SERIES[7] for *_, kind in shown]
        axes.barh(
            range(len(shown)), [peak / 1e6 for _, peak, _ in shown], height=0.62, color=colours
        )
        names(axes, [name for name, *_ in shown])
        axes.set_xlabel("peak memory, MB")
        plot = finished(
            axes,
            name=f"memory-{view.key}",
            alt="Peak memory in MB: " + told((n, f"{peak / 1e6:.0f}") for n, peak, _ in found),
            columns=("strategy", "peak_bytes", "of"),
            rows=found,
        )
    kinds = {"device": "of the device", "rss": "of the worker process"}
    of = " or ".join(kinds[kind] for kind in sorted({kind for *_, kind in found}))
    return Figure(plot=plot, caption=f"Peak memory {of}.{left(len(found) - len(shown))}")
