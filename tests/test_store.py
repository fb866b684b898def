"""The store: what is written is read again, and what was tampered with is not believed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.records import make_cell, make_outputs, make_predictions, make_record

from sftbench.errors import RecordError, RequestError
from sftbench.plan import Cell, Plan, Skip
from sftbench.records import Failure, MetricSpec, Record, Status
from sftbench.store import Store, StoreScan, due


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "out")


def path_of(store: Store, record: Record, kind: str = "json") -> Path:
    return store.path / "cells" / record.cell_id / f"attempt-{record.attempt}.{kind}"


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def resealed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Edit a record and give it the checksum of what it says now, as a forger would."""
    edit(path, change)
    record = Record.model_validate_json(path.read_bytes())
    path.write_text(record.sealed().model_dump_json())


def only_problem(store: Store) -> str:
    (problem,) = store.scan().problems
    assert "\n" not in problem.reason
    return problem.reason


# ---- writing and reading -----------------------------------------------------------------------


def test_round_trip(store: Store) -> None:
    outputs = make_outputs()
    written = store.write(make_record(), outputs)

    assert (written.attempt, written.checksum) == (1, written.expected_checksum())
    assert written.predictions is not None
    assert (written.predictions.file, written.predictions.rows) == ("attempt-1.parquet", 16)
    folder = store.path / "cells" / written.cell_id
    assert sorted(p.name for p in folder.iterdir()) == ["attempt-1.json", "attempt-1.parquet"]
    other = Store(store.path)
    scan = other.scan()
    assert scan == StoreScan({written.cell_id: written}, {written.cell_id: 1}, ())
    assert other.latest(written.cell_id) == written
    found = other.predictions(written)
    assert found.keys() == outputs.keys()
    for key, kept in outputs.items():
        assert np.array_equal(found[key].outputs.view(np.uint32), kept.outputs.view(np.uint32))
        assert np.array_equal(found[key].targets, kept.targets)
        assert np.array_equal(found[key].index, kept.index)


def test_the_file_is_one_json_document_in_the_order_of_its_fields(store: Store) -> None:
    record = store.write(make_record(), make_outputs())
    document = json.loads(path_of(store, record).read_text())
    assert list(document)[:3] == ["schema_version", "cell_id", "attempt"]
    assert document["metrics"]["selected"]["test"]["accuracy"] == 0.75
    assert document["cell"]["protocol"]["image_size"] == 8


def test_every_write_is_a_new_attempt_and_the_latest_counts(store: Store) -> None:
    first = store.write(make_record(status="crashed"))
    before = path_of(store, first).read_bytes()
    second = store.write(make_record(), make_outputs())
    third = store.write(make_record(status="timed_out"))

    assert [first.attempt, second.attempt, third.attempt] == [1, 2, 3]
    assert path_of(store, first).read_bytes() == before
    scan = store.scan()
    assert scan.records == {third.cell_id: third}
    assert scan.attempts == {third.cell_id: 3}
    assert store.predictions(third) == {}
    assert len(store.predictions(second)) == 4


def test_numbers_grow_as_numbers_and_not_as_names(store: Store) -> None:
    for _ in range(11):
        last = store.write(make_record(status="failed"))
    assert last.attempt == 11
    assert store.latest(last.cell_id) == last


def test_a_record_of_a_failure_may_keep_outputs_that_are_not_finite(store: Store) -> None:
    kept = make_predictions()
    kept.outputs[0, 0] = np.inf
    written = store.write(make_record(status="diverged"), {("test", "last"): kept})
    assert store.scan().problems == ()
    assert store.predictions(written)["test", "last"].outputs[0, 0] == np.inf


def test_what_json_cannot_say_is_returned_as_it_will_be_read(store: Store) -> None:
    error = Failure(type="OSError", message="no file caf\udce9.png")
    written = store.write(
        make_record(status="failed", error=error, provenance={"a": (1, float("nan"))})
    )
    assert written.provenance == {"a": [1, None]}
    assert written.error is not None
    assert written.error.message == "no file caf?.png"
    assert store.scan().records == {written.cell_id: written}


@pytest.mark.parametrize(
    ("changes", "outputs", "reason"),
    [
        ({"metric_specs": ()}, True, "it says ok without a primary metric"),
        (
            {"metric_specs": (MetricSpec(name="accuracy"),)},
            True,
            "it says ok without a primary metric",
        ),
        ({"metrics": {}}, True, "it says ok without a value of 'accuracy' on test"),
        (
            {"metrics": {"selected": {"test": {"accuracy": None}}}},
            True,
            "it says ok without a value of 'accuracy' on test",
        ),
        ({}, False, "it says ok without predictions"),
        (
            {"metrics": {"selected": {"test": {"accuracy": float("nan")}}}},
            True,
            "Out of range float values are not JSON compliant",
        ),
        ({"cell_id": "0" * 16}, True, "its request has another cell id"),
    ],
)
def test_what_no_reader_would_accept_is_not_written(
    store: Store, changes: dict[str, Any], outputs: bool, reason: str
) -> None:
    draft = make_record().model_copy(update=changes)
    with pytest.raises(RecordError, match=reason) as caught:
        store.write(draft, make_outputs() if outputs else None)
    assert str(caught.value).startswith(f"the record of cell {draft.cell_id} cannot be kept: ")
    assert not store.path.exists()


def test_an_ok_record_with_broken_outputs_is_not_written(store: Store) -> None:
    kept = make_predictions()
    kept.outputs[0, 0] = np.nan
    with pytest.raises(RecordError, match=r"cannot be kept: predictions of test \(selected\)"):
        store.write(make_record(), {("test", "selected"): kept})
    assert not store.path.exists()


def test_a_record_too_large_to_read_is_not_written(store: Store) -> None:
    error = Failure(type="E", message="x" * (33 << 20))
    with pytest.raises(RecordError, match=r"attempt-1.json would have \d+ bytes; the most is"):
        store.write(make_record(status="failed", error=error))
    assert [path for path in store.path.rglob("*") if path.is_file()] == []


def test_the_module_needs_neither_torch_nor_pyarrow_to_read_records(store: Store) -> None:
    store.write(make_record(), make_outputs())
    code = (
        "import sys; from pathlib import Path; from sftbench.store import Store;"
        f"print(len(Store(Path({str(store.path)!r})).scan().records),"
        "sorted({'torch', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout == "1 []\n"


# ---- the folder --------------------------------------------------------------------------------


def test_an_empty_store_is_read_and_not_made(store: Store) -> None:
    assert not store.exists
    assert store.scan() == StoreScan({}, {}, ())
    assert store.plans() == []
    assert store.latest("0" * 16) is None
    assert not store.path.exists()
    store.write(make_record(status="failed"))
    assert store.exists


def test_a_path_that_is_a_file_is_a_wrong_request(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("{}")
    with pytest.raises(RequestError) as caught:
        Store(path)
    assert str(caught.value) == f"the store {path} is not a folder; choose another path"
    with pytest.raises(RequestError, match=r"^cannot open the store .*: Not a directory$"):
        Store(path / "below")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder that this process may list and not write; root gives up its rights for that."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    root = os.geteuid() == 0
    above = [path for path in tmp_path.parents if not path.stat().st_mode & 0o001]
    modes = {path: path.stat().st_mode for path in (tmp_path, *above)} if root else {}
    for path, mode in modes.items():
        path.chmod(mode | 0o055)
    folder.chmod(0o555)
    if root:
        os.seteuid(65534)
    yield folder
    if root:
        os.seteuid(0)
    for path, mode in modes.items():
        path.chmod(mode)


def test_a_store_that_is_not_writable_is_a_wrong_request(read_only: Path) -> None:
    wrong = f"cannot write to the store {read_only}: Permission denied; choose another folder"
    store = Store(read_only)
    with pytest.raises(RequestError) as caught:
        store.add_plan(Plan(cells=(make_cell(),)))
    assert str(caught.value) == wrong
    with pytest.raises(RequestError) as caught:
        store.write(make_record(status="failed"))
    assert str(caught.value) == wrong
    assert store.scan() == StoreScan({}, {}, ())


# ---- what somebody else changed ----------------------------------------------------------------


def test_half_a_record(store: Store) -> None:
    path = path_of(store, store.write(make_record(), make_outputs()))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert only_problem(store).startswith("is not complete JSON: EOF while parsing ")
    assert store.scan().records == {}


def test_every_cut_of_a_record_is_a_problem_and_never_a_record(store: Store) -> None:
    path = path_of(store, store.write(make_record(status="failed")))
    data = path.read_bytes().rstrip()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        assert only_problem(store).startswith("is not complete JSON: ")


@pytest.mark.parametrize(
    ("version", "told"),
    [(2, "2"), (0, "0"), (True, "True"), ("1", "'1'"), (1.0, "1.0"), (None, "None")],
)
def test_an_unknown_schema_version(store: Store, version: object, told: str) -> None:
    """A record of the future has other fields too; its version is what a person must hear."""
    path = path_of(store, store.write(make_record(status="failed")))
    edit(path, lambda document: document.update(schema_version=version, new_field=1))
    reason = f"schema version {told} is not known to this version of sftbench"
    assert only_problem(store) == reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda d: d["metrics"]["selected"]["test"].update(accuracy=0.99),
            "was changed by hand: checksum does not match",
        ),
        (lambda d: d["provenance"].clear(), "was changed by hand: checksum does not match"),
        (lambda d: d.pop("checksum"), "was changed by hand: checksum does not match"),
        (
            lambda d: d["cell"].update(seed=1),
            "was changed by hand: its request has another cell id",
        ),
        (lambda d: d.update(attempt=2), "is attempt 2 by its content"),
        (
            lambda d: d.update(cell_id="0" * 16),
            "belongs to cell '0000000000000000', not to '{cell_id}'",
        ),
        (lambda d: d.update(extra=1), "extra: Extra inputs are not permitted"),
        (lambda d: d.pop("cell"), "cell: Field required"),
        (lambda d: d["provenance"].update(x=float("nan")), "is not complete JSON: expected value"),
    ],
)
def test_a_record_changed_by_hand(
    store: Store, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    record = store.write(make_record(), make_outputs())
    edit(path_of(store, record), change)
    assert only_problem(store).startswith(reason.format(cell_id=record.cell_id))
    assert store.scan().records == {}
    assert store.latest(record.cell_id) is None


def test_a_number_too_large_to_be_one(store: Store) -> None:
    path = path_of(store, store.write(make_record(status="failed")))
    path.write_text(path.read_text().replace('"sftbench": "0.1.0"', '"sftbench": 1e999'))
    assert only_problem(store) == "has a number that is not finite"


def test_an_ok_record_emptied_by_a_forger(store: Store) -> None:
    """Its checksum is right; what it claims is still not a finished run."""
    record = store.write(make_record(), make_outputs())
    path = path_of(store, record)
    resealed(path, lambda d: d.update(metrics={}))
    assert only_problem(store) == "says ok without a value of 'accuracy' on test"
    resealed(path, lambda d: d.update(metric_specs=[]))
    assert only_problem(store) == "says ok without a primary metric"


def test_an_ok_record_without_predictions(store: Store) -> None:
    record = store.write(make_record(), make_outputs())
    path_of(store, record, "parquet").unlink()
    assert only_problem(store) == "its predictions file attempt-1.parquet is missing"
    resealed(path_of(store, record), lambda d: d.update(predictions=None))
    assert only_problem(store) == "says ok without predictions"


@pytest.mark.parametrize("name", ["../x.parquet", "/etc/passwd", "attempt-2.parquet", ""])
def test_a_file_name_that_climbs(store: Store, name: str) -> None:
    record = store.write(make_record(), make_outputs())
    shutil.copy(path_of(store, record, "parquet"), store.path / "cells" / "x.parquet")
    resealed(path_of(store, record), lambda d: d["predictions"].update(file=name))
    forged = Record.model_validate_json(path_of(store, record).read_bytes())
    reason = f"names the predictions file {name!r}, not 'attempt-1.parquet'"
    assert reason in [problem.reason for problem in store.scan().problems]
    with pytest.raises(RecordError, match="names the predictions file"):
        store.predictions(forged)


def test_a_record_that_leads_outside_the_store(store: Store) -> None:
    record = store.write(make_record(), make_outputs())
    with pytest.raises(RecordError, match=r"^'\.\./x' is not the id of a cell$"):
        store.predictions(record.model_copy(update={"cell_id": "../x"}))
    assert store.latest("../cells") is None


def test_a_changed_table(store: Store) -> None:
    record = store.write(make_record(), make_outputs())
    path = path_of(store, record, "parquet")
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    with pytest.raises(RecordError) as caught:
        store.predictions(record)
    reason = "was changed by hand: its SHA-256 is not the record's"
    assert str(caught.value) == f"{path}: {reason}"


def test_another_cells_table_with_its_digest_and_wrong_rows(store: Store) -> None:
    record = store.write(make_record(), make_outputs(rows=4))
    other = store.write(make_record(make_cell(seed=1)), make_outputs(rows=3))
    shutil.copy(path_of(store, other, "parquet"), path_of(store, record, "parquet"))
    assert record.predictions is not None
    assert other.predictions is not None
    claimed = record.predictions.model_copy(update={"sha256": other.predictions.sha256})
    with pytest.raises(RecordError, match=r"has 12 rows, its record says 16$"):
        store.predictions(record.model_copy(update={"predictions": claimed}))


def test_links_are_not_followed(store: Store, tmp_path: Path) -> None:
    record = store.write(make_record(), make_outputs())
    folder = store.path / "cells" / record.cell_id
    elsewhere = tmp_path / "elsewhere"
    link = "is a symbolic link, which is not followed"

    table = path_of(store, record, "parquet")
    table.rename(tmp_path / "table")
    table.symlink_to(tmp_path / "table")
    assert only_problem(store) == "its predictions file attempt-1.parquet is not a plain file"
    with pytest.raises(RecordError, match="cannot be opened: is a symbolic link"):
        store.predictions(record)
    table.unlink()
    (tmp_path / "table").rename(table)

    document = path_of(store, record)
    document.rename(tmp_path / "document")
    document.symlink_to(tmp_path / "document")
    assert only_problem(store) == "cannot be opened: is a symbolic link"
    document.unlink()
    (tmp_path / "document").rename(document)

    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    assert only_problem(store) == link
    for reader in (lambda: store.latest(record.cell_id), lambda: store.predictions(record)):
        with pytest.raises(RecordError, match=link):
            reader()
    with pytest.raises(RecordError, match=link):
        store.write(make_record(), make_outputs())
    assert sorted(path.name for path in elsewhere.iterdir()) == [
        "attempt-1.json",
        "attempt-1.parquet",
    ]

    folder.unlink()
    elsewhere.mkdir(exist_ok=True)
    cells = store.path / "cells"
    cells.rmdir()
    cells.symlink_to(elsewhere)
    assert only_problem(store) == link


def test_what_is_no_part_of_a_store_is_named_and_left(store: Store) -> None:
    record = store.write(make_record(status="failed"))
    cells = store.path / "cells"
    (cells / "notes").mkdir()
    (cells / "ABCDEF0123456789").mkdir()
    (cells / "0123456789abcdef").write_text("a file")
    (cells / ".DS_Store").write_text("left alone")
    (cells / record.cell_id / "attempt-01.json").write_text("{}")
    (cells / record.cell_id / "attempt-2.json").mkdir()
    os.mkfifo(cells / record.cell_id / "attempt-3.json")

    scan = store.scan()
    name = "is not the folder of a cell: its name is not 16 hexadecimal digits"
    assert {(str(p.path.relative_to(cells)), p.reason) for p in scan.problems} == {
        ("0123456789abcdef", "cannot be listed: Not a directory"),
        ("ABCDEF0123456789", name),
        ("notes", name),
        (f"{record.cell_id}/attempt-01.json", "is not named like an attempt"),
        (f"{record.cell_id}/attempt-2.json", "is not a regular file"),
        (f"{record.cell_id}/attempt-3.json", "is not a regular file"),
    }
    assert scan.records == {record.cell_id: record}
    assert store.write(make_record(status="failed")).attempt == 4


def test_files_too_large_are_not_read(store: Store) -> None:
    record = store.write(make_record(), make_outputs())
    os.truncate(path_of(store, record), (32 << 20) + 1)
    assert only_problem(store) == "has 33554433 bytes; the largest allowed is 33554432"
    os.truncate(path_of(store, record, "parquet"), (2 << 30) + 1)
    with pytest.raises(RecordError, match="has 2147483649 bytes; the largest allowed is"):
        store.predictions(record)


def test_a_document_nested_without_end(store: Store) -> None:
    record = store.write(make_record(status="failed"))
    path_of(store, record).write_text("[" * 1_000_000)
    assert only_problem(store).startswith("is not complete JSON: recursion limit exceeded")
    path_of(store, record).write_text("[]")
    assert only_problem(store) == "is not a JSON object"


def test_a_broken_latest_attempt_falls_back_to_the_one_before(store: Store) -> None:
    first = store.write(make_record(), make_outputs())
    second = store.write(make_record(status="failed"))
    path_of(store, second).write_text("{")
    other = store.write(make_record(make_cell(seed=1), status="failed"))

    scan = store.scan()
    assert scan.records == {first.cell_id: first, other.cell_id: other}
    assert scan.attempts == {first.cell_id: 2, other.cell_id: 1}
    assert [problem.path for problem in scan.problems] == [path_of(store, second)]
    assert store.latest(first.cell_id) == first
    assert path_of(store, second).read_text() == "{"


def test_the_last_number_is_not_passed(store: Store) -> None:
    record = store.write(make_record(status="failed"))
    (store.path / "cells" / record.cell_id / "attempt-999999999.parquet").touch()
    with pytest.raises(RecordError, match=r"has no number left for another attempt$"):
        store.write(make_record(status="failed"))


# ---- plans -------------------------------------------------------------------------------------


def plan_of(*seeds: int, **changes: Any) -> Plan:
    return Plan(cells=tuple(make_cell(seed=seed) for seed in seeds), **changes)


def test_plans_are_kept_once_and_read_oldest_first(store: Store) -> None:
    skip = Skip(cell=make_cell(seed=9), reason="not for this task")
    plans = [plan_of(seed, skipped=(skip,), criteria={"margin": 0.5}) for seed in (5, 3, 4)]
    paths = [store.add_plan(plan) for plan in plans]
    for age, path in enumerate(paths):
        os.utime(path, (1_000_000 + age, 1_000_000 + age))
    before = paths[0].read_bytes()

    assert paths[0] == store.path / "plans" / f"{plans[0].plan_id}.json"
    assert store.add_plan(plans[0]) == paths[0]
    assert paths[0].read_bytes() == before
    assert paths[0].stat().st_mtime == 1_000_000
    assert store.plans() == plans
    assert store.scan().problems == ()
    assert len(list((store.path / "plans").iterdir())) == 3


def test_the_order_of_a_plan_makes_no_second_file(store: Store) -> None:
    assert store.add_plan(plan_of(1, 2)) == store.add_plan(plan_of(2, 1))
    assert store.plans() == [plan_of(1, 2)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-20]), "is not complete JSON: EOF"),
        (
            lambda p: edit(p, lambda d: d.update(baseline="full")),
            "was changed by hand: the plan in it has another id",
        ),
        (
            lambda p: edit(p, lambda d: d.update(baseline=1)),
            "baseline: Input should be a valid str",
        ),
        (
            lambda p: edit(p, lambda d: d["criteria"].update(x=float("inf"))),
            "is not complete JSON: ",
        ),
    ],
)
def test_a_plan_changed_by_hand(
    store: Store, change: Callable[[Path], object], reason: str
) -> None:
    path = store.add_plan(plan_of(1))
    good = plan_of(2)
    store.add_plan(good)
    change(path)
    after = path.read_bytes()

    assert store.plans() == [good]
    assert only_problem(store).startswith(reason)
    with pytest.raises(RecordError, match=r"; move it away$") as caught:
        store.add_plan(plan_of(1))
    assert str(caught.value).startswith(f"{path}: {reason}")
    assert path.read_bytes() == after


def test_a_plan_under_a_link_or_another_name_is_not_read(store: Store, tmp_path: Path) -> None:
    path = store.add_plan(plan_of(1))
    path.rename(tmp_path / "plan")
    path.symlink_to(tmp_path / "plan")
    assert only_problem(store) == "cannot be opened: is a symbolic link"
    path.unlink()
    (tmp_path / "plan").rename(path.with_name("mine.json"))
    assert only_problem(store) == "was changed by hand: the plan in it has another id"
    assert store.plans() == []


# ---- what is due -------------------------------------------------------------------------------

ENDS: dict[str, Status | None] = {
    "new": None,
    "ok": "ok",
    "stale": "ok",
    "skipped": "skipped",
    "interrupted": "interrupted",
    "out_of_memory": "out_of_memory",
    "diverged": "diverged",
    "timed_out": "timed_out",
    "crashed": "crashed",
    "failed": "failed",
}
ALWAYS = {"new", "skipped", "interrupted"}
FAILED = {"out_of_memory", "diverged", "timed_out", "crashed", "failed"}


@pytest.mark.parametrize(
    ("retry_failed", "refresh", "force", "expected"),
    [
        (False, False, False, ALWAYS),
        (True, False, False, ALWAYS | FAILED),
        (False, True, False, ALWAYS | {"stale"}),
        (True, True, False, ALWAYS | FAILED | {"stale"}),
        (False, False, True, set(ENDS)),
        (True, True, True, set(ENDS)),
    ],
)
def test_due(retry_failed: bool, refresh: bool, force: bool, expected: set[str]) -> None:
    cells = {name: make_cell(variant=name) for name in ENDS}
    records = {
        cell.cell_id: make_record(cell, status)
        for cell, status in zip(cells.values(), ENDS.values(), strict=True)
        if status is not None
    }
    found = due(
        reversed(cells.values()),
        StoreScan(records, dict.fromkeys(records, 1), ()),
        retry_failed=retry_failed,
        refresh=refresh,
        force=force,
        is_stale=lambda record: record.cell.variant in {"stale", "failed"},
    )
    assert [cell.variant for cell in found] == [n for n in reversed(ENDS) if n in expected]


def test_due_reads_the_store(store: Store) -> None:
    cells: list[Cell] = [make_cell(seed=seed) for seed in (2, 0, 1)]
    store.write(make_record(cells[1]), make_outputs())
    store.write(make_record(cells[2], "failed"))

    def which(*, retry_failed: bool = False) -> list[int]:
        found = due(
            cells,
            store.scan(),
            retry_failed=retry_failed,
            refresh=False,
            force=False,
            is_stale=lambda _: False,
        )
        return [cell.seed for cell in found]

    assert which() == [2]
    assert which(retry_failed=True) == [2, 1]
