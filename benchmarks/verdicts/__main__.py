"""`python -m benchmarks.verdicts`: how often verdicts are wrong, and how often they decide."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import click

from benchmarks.verdicts.report import Row, as_json, as_markdown, read, row_of, with_tables
from benchmarks.verdicts.stored import stored_regimes
from benchmarks.verdicts.study import Setting, settings, simulate

_ROOT = Path(__file__).parent.parent.parent
_OUT = _ROOT / "benchmarks" / "results" / "verdicts.json"


@click.command()
@click.option("--trials", default=2000, type=click.IntRange(1), show_default=True)
@click.option("--kind", multiple=True, type=click.Choice(["same", "family", "gain", "stored"]))
@click.option("--jobs", default=1, type=click.IntRange(1, 64), show_default=True, help="Processes.")
@click.option("--stores", default=str(_ROOT / "results"), help="Folder of stores to draw from.")
@click.option("--out", default=_OUT, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--docs", type=click.Path(path_type=Path, exists=True), help="Renew its tables.")
@click.option("--resume", is_flag=True, help="Keep what --out has of as many trials.")
def main(
    *,
    trials: int,
    kind: Sequence[str],
    jobs: int,
    stores: str,
    out: Path,
    docs: Path | None,
    resume: bool,
) -> None:
    """Simulate comparisons whose truth is known, and write rates (docs/verdicts.md)."""
    stored = list(stored_regimes(sorted(Path(stores).glob("*-cpu"))))
    chosen = [one for one in settings(stored) if not kind or one.kind in kind]
    old = read(out)["rows"] if resume and out.exists() else []
    kept = {row["key"]: row for row in old if row["trials"] == trials}
    due = [one for one in chosen if one.key not in kept]
    out.parent.mkdir(parents=True, exist_ok=True)
    for row in _run(due, trials, jobs):
        kept[row["key"]] = row
        # In the order of the settings, and after each of them: nothing is lost that was simulated.
        rows = [kept[one.key] for one in chosen if one.key in kept]
        out.write_text(as_json(rows, trials), encoding="utf-8")
    figures = read(out)
    out.with_suffix(".md").write_text(as_markdown(figures), encoding="utf-8")
    if docs:
        docs.write_text(with_tables(docs.read_text(encoding="utf-8"), figures), encoding="utf-8")


def _run(chosen: Sequence[Setting], trials: int, jobs: int) -> Iterator[Row]:
    """Yield the rates of each setting, in order; progress goes to stderr."""
    start = time.perf_counter()
    # Each process has one core's share: more threads would only wait for each other.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        found = pool.map(simulate, chosen, [trials] * len(chosen))
        for number, (setting, rates) in enumerate(zip(chosen, found, strict=True), 1):
            print(
                f"[{number}/{len(chosen)}] {time.perf_counter() - start:5.0f} s  {setting.key}: "
                f"decided {rates.decided:.3f}, covered {rates.covered:.3f}",
                file=sys.stderr,
                flush=True,
            )
            yield row_of(setting, rates)


if __name__ == "__main__":
    main()
