"""A store becomes a bundle, which is checked before it stands under its name."""

from __future__ import annotations

from pathlib import Path

from sftbench import __version__
from sftbench.catalog import Catalog
from sftbench.errors import RequestError
from sftbench.leaderboard.bundles import Manifest, pack
from sftbench.leaderboard.checking import checked
from sftbench.leaderboard.findings import Finding
from sftbench.records import MISSING
from sftbench.store import Store


def submit(
    results: Path, bundle: Path, catalog: Catalog, *, name: str = ""
) -> tuple[Manifest, list[Finding]]:
    """Pack the latest attempt of every cell, and every plan.

    Cells that were skipped or interrupted say nothing and stay out: they count as missing.

    Args:
        results: The store.
        bundle: The zip; one that is there is replaced.
        catalog: Whose tasks and metrics compute the numbers again, as the receiver will.
        name: Who submits.

    Returns:
        The manifest, and warnings about what was packed.

    Raises:
        RequestError: There is nothing to submit, or the receiver would refuse it.
    """
    if bundle.suffix != ".zip":
        raise RequestError(f"{bundle}: a bundle's name ends in .zip")
    store = Store(results)
    scan = store.scan()
    if scan.problems:
        first = scan.problems[0]
        raise RequestError(
            f"{len(scan.problems)} files of {results} are no records; the first: {first.path}: "
            f"{first.reason}; move them away"
        )
    names = [f"plans/{plan.plan_id}.json" for plan in store.plans()]
    for record in scan.records.values():
        if record.status in MISSING:
            continue
        place = f"cells/{record.cell_id}"
        names.append(f"{place}/attempt-{record.attempt}.json")
        if record.predictions is not None:
            names.append(f"{place}/{record.predictions.file}")
    if not any(one.endswith(".json") and one.startswith("cells/") for one in names):
        raise RequestError(f"no record in {results}; sftbench run --out {results}")
    draft = bundle.with_name(f".{bundle.stem}.draft.zip")
    try:
        manifest = pack(results, names, draft, name=name, version=__version__)
        with checked(draft, catalog) as found:
            if found.errors:
                first_error = found.errors[0]
                raise RequestError(
                    f"{results} would be refused: {len(found.errors)} mistakes; the first: "
                    f"{first_error.where}: {first_error.what}"
                )
            warnings = found.findings
        draft.rename(bundle)
    finally:
        draft.unlink(missing_ok=True)
    return manifest, warnings
