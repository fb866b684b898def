"""Submissions that are whole and honest in every hash, and would still change what others did."""

from __future__ import annotations

import hashlib
import io
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.records import make_cell
from support.submissions import cells, contents, fill, forged, honest, rebuilt

from sftbench.catalog import Catalog
from sftbench.discovery import build_catalog
from sftbench.leaderboard.checking import checked
from sftbench.leaderboard.submitting import submit
from sftbench.plan import Plan, Skip
from sftbench.predictions import _schema
from sftbench.records import Record
from sftbench.store import Store


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return build_catalog(chosen="")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return results that no test changes: seeds 0 and 1."""
    return fill(Store(tmp_path_factory.mktemp("host") / "results"), cells())


@pytest.fixture(scope="module")
def whole(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle of one cell that the host lacks."""
    store = fill(Store(tmp_path_factory.mktemp("mine") / "results"), [one_more()])
    path = store.path.parent / "bundle.zip"
    submit(store.path, path, catalog)
    return path


@pytest.fixture
def bundle(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole, tmp_path))


def one_more(**changes: Any) -> Any:
    values = {"strategy": "full", "seed": 7, "versions": {"strategy": 1, "task": 1}, **changes}
    return make_cell(**values)


def told(bundle: Path, catalog: Catalog, against: Store) -> list[str]:
    with checked(bundle, catalog, against, accept_new=True) as found:
        return [f"{one.level}: {one.what}" for one in found.findings]


def planned(bundle: Path, plan: Plan) -> Path:
    """Put another plan in the place of the bundle's."""
    kept = {name: data for name, data in contents(bundle).items() if not name.startswith("plans/")}
    return rebuilt(bundle, {**kept, f"plans/{plan.plan_id}.json": plan.model_dump_json().encode()})


def recorded(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the record, and let the plan name its cell."""
    forged(bundle, change)
    data = next(data for name, data in contents(bundle).items() if name.endswith("-1.json"))
    planned(bundle, Plan(cells=(Record.model_validate_json(data).cell,)))


def test_one_more_seed_is_welcome(bundle: Path, catalog: Catalog, host: Store) -> None:
    assert told(bundle, catalog, host) == []


def test_a_known_data_set_of_another_version(bundle: Path, catalog: Catalog, host: Store) -> None:
    recorded(bundle, lambda d: d["cell"]["versions"].update(dataset=2))
    assert told(bundle, catalog, host) == ["error: dataset 'digits' is of version 2, known is None"]


def test_a_crash_does_not_take_the_place_of_a_good_run(
    catalog: Catalog, host: Store, tmp_path: Path
) -> None:
    record, _ = honest(cells()[0])
    crash = record.model_copy(
        update={"status": "crashed", "metrics": {}, "per_class": (), "predictions": None}
    )
    mine = Store(tmp_path / "mine")
    mine.write(crash)
    mine.add_plan(Plan(cells=(record.cell,)))
    submit(mine.path, tmp_path / "crash.zip", catalog)
    assert told(tmp_path / "crash.zip", catalog, host) == [
        "error: ended crashed; the results have a run of this cell that ended well"
    ]


def test_another_good_run_is_named(catalog: Catalog, host: Store, tmp_path: Path) -> None:
    record, outputs = honest(cells()[0])
    again = record.model_copy(update={"measures": {"watts": 3.0}})
    mine = Store(tmp_path / "mine")
    mine.write(again, outputs)
    mine.add_plan(Plan(cells=(record.cell,)))
    submit(mine.path, tmp_path / "again.zip", catalog)
    assert told(tmp_path / "again.zip", catalog, host) == [
        "warning: takes the place of a run that the results have"
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["memory"].update(peak_rss_bytes=10**400),
        lambda d: d["memory"].update(peak_rss_bytes=-1),
        lambda d: d["counts"].update(trainable=10**30),
        lambda d: d["counts"].update(parameters=-5),
        lambda d: d["cell"].update(seed=2**63),
        lambda d: d["cell"]["versions"].update(dataset=10**30),
        lambda d: d["timing"].update(shared_by_cells=10**30),
    ],
)
def test_numbers_beyond_any_column(
    bundle: Path, catalog: Catalog, host: Store, change: Callable[[dict[str, Any]], object]
) -> None:
    members = contents(bundle)
    name = next(one for one in members if one.endswith("-1.json"))
    document = json.loads(members[name])
    change(document)
    members[name] = json.dumps(document).encode()
    found = told(rebuilt(bundle, members), catalog, host)
    assert any("Input should be" in one for one in found), found


def test_a_plan_of_another_baseline(bundle: Path, catalog: Catalog, host: Store) -> None:
    planned(bundle, Plan(cells=(one_more(),), baseline="full"))
    assert told(bundle, catalog, host) == [
        "error: compares with 'full' where the results compare with 'head-only'"
    ]
    planned(bundle, Plan(cells=(one_more(),), baseline="<script>alert(1)</script>"))
    assert any("is not a name to show" in one for one in told(bundle, catalog, host))


def test_cells_of_others_are_not_made_missing(bundle: Path, catalog: Catalog, host: Store) -> None:
    what = (
        "asks for more cells of 'head-only', which the results have, without a record: they would "
        "count as missing"
    )
    lost = one_more(strategy="head-only", seed=8)
    planned(bundle, Plan(cells=(one_more(), lost)))
    assert f"error: {what}" in told(bundle, catalog, host)
    planned(bundle, Plan(cells=(one_more(),), skipped=(Skip(cell=lost, reason="no"),)))
    assert told(bundle, catalog, host) == [f"error: {what}"]


def test_last_weights_need_predictions_too(bundle: Path, catalog: Catalog, host: Store) -> None:
    forged(bundle, lambda d: d["metrics"].update(last={"test": {"accuracy": 0.99}}))
    assert told(bundle, catalog, host) == ["error: metrics on 'test' (last) rest on no predictions"]


def test_metrics_that_all_have_are_not_left_out(
    bundle: Path, catalog: Catalog, host: Store
) -> None:
    forged(bundle, lambda d: d["metrics"]["selected"]["test"].pop("nll"))
    assert told(bundle, catalog, host) == ["error: lacks metrics that all the results have: 'nll'"]


def test_other_weights_under_the_same_name(catalog: Catalog, tmp_path: Path) -> None:
    def started(digest: str) -> Any:
        return {"effective": "pretrained", "digest": digest}

    for name, seed, digest in (("host", 0, "a" * 64), ("mine", 1, "f" * 64)):
        store = Store(tmp_path / name)
        record, outputs = honest(one_more(seed=seed))
        provenance = {**record.provenance, "weights": started(digest)}
        store.write(record.model_copy(update={"provenance": provenance}), outputs)
        store.add_plan(Plan(cells=(record.cell,)))
    submit(tmp_path / "mine", tmp_path / "mine.zip", catalog)
    [found] = told(tmp_path / "mine.zip", catalog, Store(tmp_path / "host"))
    assert found.startswith("error: digest of the weights of 'tiny' is 'fffff")


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["per_class"][0].update(label="<script>alert(1)</script>"),
        lambda d: d["per_class"][0].update(label="\u202egnp"),
        lambda d: d["per_class"][0].update(label="a\x1b[31m\n"),
        lambda d: d["cell"]["options"].update(note="<img src=x>"),
        lambda d: d["provenance"].update({"<script>": 1}),
        lambda d: d.update(remarks=["</td>"]),
        lambda d: d.update(measures={"<b>": 1.0}),
    ],
)
def test_markup_and_controls_anywhere(
    bundle: Path, catalog: Catalog, host: Store, change: Callable[[dict[str, Any]], object]
) -> None:
    recorded(bundle, change)
    found = told(bundle, catalog, host)
    assert any("is no text of a run: markup, or not printable" in one for one in found), found


@pytest.mark.parametrize(
    ("times", "what"),
    [
        (
            {"total_seconds": 0.0, "train_seconds": 5e3},
            "took 0 s by its total, 5000 s by its parts",
        ),
        ({"total_seconds": 5e3}, "took longer than from its begin to its end"),
    ],
)
def test_times_that_do_not_add_up(
    bundle: Path, catalog: Catalog, host: Store, times: dict[str, float], what: str
) -> None:
    forged(bundle, lambda d: d["timing"].update(times))
    assert told(bundle, catalog, host) == [f"error: {what}"]


def test_versions_that_are_newer_than_any_here(bundle: Path, catalog: Catalog, host: Store) -> None:
    forged(bundle, lambda d: d["provenance"]["versions"].update(torch="999.0"))
    [found] = told(bundle, catalog, host)
    assert found.startswith("warning: was made with torch 999.0; here is ")


def test_predictions_of_another_cell_of_the_results(
    catalog: Catalog, host: Store, tmp_path: Path
) -> None:
    theirs, outputs = honest(cells()[0])
    cell = one_more()
    copy = theirs.model_copy(update={"cell": cell, "cell_id": cell.cell_id})
    mine = Store(tmp_path / "mine")
    mine.write(copy, outputs)
    mine.add_plan(Plan(cells=(cell,)))
    submit(mine.path, tmp_path / "copy.zip", catalog)
    found = told(tmp_path / "copy.zip", catalog, host)
    same = f"has the same predictions, to the byte, as cell {theirs.cell_id} of the results"
    assert f"warning: {same}" in found


# ---- bombs: small files that would take much memory ----------------------------------------------

_LIMIT = 3 << 30


def within(bundle: Path, host: Store) -> str:
    """Validate in a process of little memory and return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "sftbench", "leaderboard", "validate", str(bundle),
         "--against", str(host.path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (_LIMIT, _LIMIT)),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 2, (done.returncode, done.stdout[-500:], done.stderr[-500:])
    return done.stdout + done.stderr


def bomb_of_zeros(rows: int, width: int) -> bytes:
    """Return a table of zeros as Parquet, as `write_predictions` would not write it."""
    schema = _schema(width).with_metadata({b"sftbench": b'{"same":[],"version":1}'})
    file = io.BytesIO()
    part = 1 << 20
    once = pa.array(np.zeros(part, dtype=np.int8))
    values = pa.array(np.zeros(part * width, dtype=np.float32))
    columns = [
        pa.DictionaryArray.from_arrays(once, pa.array(["test"])),
        pa.DictionaryArray.from_arrays(once, pa.array(["selected"])),
        pa.array(np.zeros(part, dtype=np.int64)),
        pa.array(np.zeros(part, dtype=np.int64)),
        pa.FixedSizeListArray.from_arrays(values, type=schema.field("output").type),
    ]
    table = pa.Table.from_arrays(columns, schema=schema)
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for _ in range(rows // part):
            writer.write_table(table, row_group_size=part)
    return file.getvalue()


def test_a_small_table_of_very_many_numbers(bundle: Path, catalog: Catalog, host: Store) -> None:
    members = contents(bundle)
    table = next(one for one in members if one.endswith(".parquet"))
    members[table] = bomb_of_zeros(8 << 20, 10)
    rebuilt(bundle, members)
    digest = hashlib.sha256(members[table]).hexdigest()
    kept = {"file": "attempt-1.parquet", "sha256": digest, "rows": 8 << 20}
    forged(bundle, lambda d: d.update(predictions=kept))
    limit = "8388608 x 10 outputs are over the limit of 67108864 numbers"
    assert any(limit in one for one in told(bundle, catalog, host))


@pytest.mark.parametrize("what", ["plan", "history"])
def test_a_million_mistakes_take_no_memory(bundle: Path, host: Store, what: str) -> None:
    members = contents(bundle)
    ones = b"1," * (4 << 20) + b"1"
    if what == "plan":
        plan = next(one for one in members if one.startswith("plans/"))
        members[plan] = b'{"cells":[' + ones + b"]}"
    else:
        record = next(one for one in members if one.endswith("-1.json"))
        members[record] = b'{"schema_version":1,"history":[' + ones + b"]}"
    assert "refused" in within(rebuilt(bundle, members), host)


def test_an_object_of_very_many_keys(bundle: Path, catalog: Catalog, host: Store) -> None:
    members = contents(bundle)
    record = next(one for one in members if one.endswith("-1.json"))
    many = b",".join(b'"%x":[]' % number for number in range(1 << 17))
    members[record] = b'{"schema_version":1,"metrics":{"selected":{"test":{' + many + b"}}}}"
    what = "error: has an object of 131072 keys; the most is 20000"
    assert what in told(rebuilt(bundle, members), catalog, host)
