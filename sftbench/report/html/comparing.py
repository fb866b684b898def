"""Plots that compare: differences to the baseline, and what they cost."""

from __future__ import annotations

from sftbench.pages.blocks import Figure
from sftbench.pages.plots import GRID, MUTED, TONES, WIDTH, drawing, finished, label, style
from sftbench.report.html.axes import (
    MAX_BARS,
    MAX_SERIES,
    Looks,
    absent,
    left,
    legend,
    legend_names,
    names,
    scale,
    told,
    unnamed,
)
from sftbench.report.html.series import pareto
from sftbench.report.html.source import SectionView
from sftbench.verdicts.comparisons import margin_of
from sftbench.verdicts.criteria import Criteria


def differences(view: SectionView, criteria: Criteria) -> Figure | None:
    """Draw each strategy's difference to the baseline with its population interval."""
    rows = [
        (one, one.row.comparison)
        for one in view.rows
        if one.row.comparison is not None
        and one.row.comparison.estimate is not None
        and not one.row.comparison.lacking
    ]
    if not rows:
        return None
    shown = rows[:MAX_BARS]
    data = [
        (
            one.row.label,
            compared.estimate,
            compared.interval.low if compared.interval else None,
            compared.interval.high if compared.interval else None,
            compared.p_adjusted,
            one.row.verdict.kind,
        )
        for one, compared in rows
    ]
    margin = margin_of(view.section.metric, criteria) if view.section.metric else 0.0
    with drawing(WIDTH, 0.9 + 0.26 * len(shown)) as axes:
        axes.axvspan(-margin, margin, color=GRID, linewidth=0)
        axes.axvline(0, color=MUTED, linewidth=1)
        for place, (one, compared) in enumerate(shown):
            colour = TONES[one.row.verdict.kind]
            if (found := compared.interval) is not None:
                axes.hlines(place, found.low, found.high, color=colour, linewidth=2)
            axes.plot([compared.estimate or 0.0], [place], "o", color=colour)
        names(axes, [name for name, *_ in data[: len(shown)]])
        axes.set_xlabel(f"{label(view.metric)}: difference to {label(view.section.baseline, 24)}")
        plot = finished(
            axes,
            name=f"difference-{view.key}",
            alt=f"Difference in {view.metric} to {view.section.baseline}: "
            + told((n, f"{e:+.3f}, {kind}") for n, e, _, _, _, kind in data),
            columns=(
                "strategy",
                "difference",
                "low_population",
                "high_population",
                "p_adjusted",
                "verdict",
            ),
            rows=data,
        )
    return Figure(
        plot=plot,
        caption=f"Difference to {view.section.baseline} with its population interval; colour: "
        f"verdict; grey band: smaller than the margin of {margin:g}."
        f"{left(len(rows) - len(shown))}",
    )


def cost(view: SectionView, looks: Looks) -> Figure | None:
    """Draw the metric against the seconds of a cell, with the Pareto front."""
    metric = view.section.metric
    rows = [
        (one, one.row.seconds, one.row.mean)
        for one in view.rows
        if one.row.mean is not None and one.row.seconds
    ]
    if metric is None or len(rows) < 2:
        return None
    sign = -1.0 if metric.direction == "min" else 1.0
    front = pareto([cost for _, cost, _ in rows], [sign * mean for *_, mean in rows])
    # The front is what the plot is for, then the best.
    named = {id(one) for one in [rows[i][0] for i in front][:MAX_SERIES]}
    named |= {id(one) for one, *_ in rows[: max(0, MAX_SERIES - len(named))]}
    texts = legend_names(one.row.label for one, *_ in rows if id(one) in named)
    with drawing() as axes:
        line = [(rows[index][1], rows[index][2]) for index in front]
        axes.plot(
            *zip(*line, strict=True),
            color=MUTED,
            linewidth=1,
            linestyle="--",
            drawstyle="steps-post",
            zorder=1,
        )
        for one, seconds, mean in rows:
            look = {**style(looks[one.row.label]), "linestyle": "none"}
            if id(one) in named:
                look["label"] = texts[one.row.label]
            else:
                look |= {"color": MUTED, "marker": ".", "markersize": 3}
            if one.row.seed_interval:
                axes.plot([seconds] * 2, one.row.seed_interval, color=look["color"], linewidth=1)
            axes.plot([seconds], [mean], **look)
        scale(axes, [seconds for _, seconds, _ in rows])
        axes.set_xlabel("seconds per cell")
        axes.set_ylabel(label(view.metric))
        legend(axes)
        plot = finished(
            axes,
            name=f"cost-{view.key}",
            alt=f"{view.metric} against seconds per cell. On the Pareto front: "
            + told(
                (rows[i][0].row.label, f"{rows[i][2]:.3f} in {rows[i][1]:.3g} s") for i in front
            ),
            columns=("strategy", "seconds_per_cell", view.metric, "on_pareto_front"),
            rows=[
                (one.row.label, seconds, mean, index in front)
                for index, (one, seconds, mean) in enumerate(rows)
            ],
        )
    return Figure(
        plot=plot,
        caption=f"{view.metric} (bars: interval of seeds) against the time of a cell; dashed: "
        f"Pareto front.{absent(len(view.rows) - len(rows))}"
        f"{unnamed(len(rows) - len(named))}",
    )
