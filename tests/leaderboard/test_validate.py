"""A submission is data: forged numbers, other data, hostile archives and names are refused."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.submissions import cells, contents, fill, forged, honest, rebuilt

from sftbench.api import Predictions
from sftbench.catalog import Catalog
from sftbench.discovery import build_catalog
from sftbench.errors import RequestError
from sftbench.leaderboard import bundles
from sftbench.leaderboard.checking import checked
from sftbench.leaderboard.submitting import submit
from sftbench.plan import Plan
from sftbench.predictions import write_predictions
from sftbench.records import Record
from sftbench.store import Store
from sftbench.testing import run_tiny


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return build_catalog(chosen="")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return results that no test changes."""
    return fill(Store(tmp_path_factory.mktemp("store") / "results"), cells())


@pytest.fixture(scope="module")
def whole(store: Store, catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "bundle.zip"
    submit(store.path, path, catalog, name="Ada")
    return path


@pytest.fixture
def bundle(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole, tmp_path))


def lines(
    bundle: Path, catalog: Catalog, against: Store | None = None, *, accept_new: bool = False
) -> list[str]:
    with checked(bundle, catalog, against, accept_new=accept_new) as found:
        return [str(one) for one in found.findings]


def with_outputs(bundle: Path, name: str, outputs: Mapping[tuple[str, str], Predictions]) -> Path:
    """Put other predictions beside a record, with the hashes that fit."""
    members, file = contents(bundle), io.BytesIO()
    rows = write_predictions(file, outputs)
    members[f"{name[:-4]}parquet"] = file.getvalue()
    digest = hashlib.sha256(file.getvalue()).hexdigest()
    kept = {"file": "attempt-1.parquet", "sha256": digest, "rows": rows}
    rebuilt(bundle, members)
    return forged(bundle, lambda document: document.update(predictions=kept), name)


def first_record(bundle: Path) -> str:
    return next(name for name in contents(bundle) if name.endswith(".json"))


def test_an_honest_bundle_has_nothing_wrong(bundle: Path, catalog: Catalog, store: Store) -> None:
    assert lines(bundle, catalog) == []
    with checked(bundle, catalog, store) as found:
        assert (found.findings, len(found.duplicates), found.manifest.name) == ([], 4, "Ada")
        assert [len(one.outputs()) for one in found.attempts] == [2, 2, 2, 2]


def test_the_same_results_make_the_same_bundle(
    bundle: Path, store: Store, catalog: Catalog, tmp_path: Path
) -> None:
    again = tmp_path / "again.zip"
    submit(store.path, again, catalog, name="Ada")
    assert again.read_bytes() == bundle.read_bytes()


def test_a_real_run_with_measures_of_reliability(catalog: Catalog, tmp_path: Path) -> None:
    """Every number that a cell writes is computed again, or named as taken on trust."""
    record, kept = run_tiny(evaluate=("ood:digits",))
    assert record.status == "ok", record.error
    assert "ood:digits" in record.metrics["selected"]
    store = Store(tmp_path / "real")
    store.write(record, kept)
    store.add_plan(Plan(cells=(record.cell,)))
    manifest, warnings = submit(store.path, tmp_path / "real.zip", catalog)
    assert len(manifest.members) == 3
    assert [one.what for one in warnings] == [
        "metrics on 'train' (selected) rest on no predictions: taken on trust"
    ]

    def change(document: dict[str, Any]) -> None:
        document["metrics"]["selected"]["ood:digits"]["auroc_energy"] = 0.99
        document["metrics"]["selected"]["test"]["temperature"] = 9.0

    found = lines(forged(tmp_path / "real.zip", change), catalog)
    assert [one.partition(" is ")[0].partition(".json: ")[2] for one in found[:2]] == [
        "auroc_energy on ood:digits (selected)",
        "temperature on test (selected)",
    ]


# ---- forged numbers ----------------------------------------------------------------------------


def set_accuracy(document: dict[str, Any]) -> None:
    document["metrics"]["selected"]["test"]["accuracy"] = 0.99


def test_a_forged_accuracy(bundle: Path, catalog: Catalog) -> None:
    name = first_record(bundle)
    true = json.loads(contents(bundle)[name])["metrics"]["selected"]["test"]["accuracy"]
    told = f"accuracy on test (selected) is 0.99 in the record, {true:.6g} by its predictions"
    assert lines(forged(bundle, set_accuracy), catalog) == [f"error: {name}: {told}"]


def test_a_forged_accuracy_under_the_old_checksum(bundle: Path, catalog: Catalog) -> None:
    name, members = first_record(bundle), contents(bundle)
    document = json.loads(members[name])
    set_accuracy(document)
    members[name] = json.dumps(document).encode()
    assert lines(rebuilt(bundle, members), catalog)[0] == (
        f"error: {name}: was changed by hand: checksum does not match"
    )


def test_a_forged_recall(bundle: Path, catalog: Catalog) -> None:
    def change(document: dict[str, Any]) -> None:
        document["per_class"][0]["recall"] = 0.123

    (line,) = lines(forged(bundle, change), catalog)
    assert "class 'one' has support" in line
    assert "recall 0.123 in the record" in line


def test_another_meaning_of_a_metric(bundle: Path, catalog: Catalog) -> None:
    def change(document: dict[str, Any]) -> None:
        document["metric_specs"][0]["direction"] = "min"

    name = first_record(bundle)
    assert lines(forged(bundle, change), catalog) == [
        f"error: {name}: says otherwise than the metric accuracy what it means"
    ]


def test_another_primary_metric(bundle: Path, catalog: Catalog) -> None:
    def change(document: dict[str, Any]) -> None:
        document["metric_specs"][0]["primary"] = False
        document["metric_specs"][1]["primary"] = True

    name = first_record(bundle)
    assert lines(forged(bundle, change), catalog) == [
        f"error: {name}: its primary metric is 'nll', that of the task 'accuracy'"
    ]


def test_a_number_without_predictions_is_named(bundle: Path, catalog: Catalog) -> None:
    def change(document: dict[str, Any]) -> None:
        document["metrics"]["selected"]["source"] = {"accuracy_after": 0.9}

    name = first_record(bundle)
    assert lines(forged(bundle, change), catalog) == [
        f"warning: {name}: metrics on 'source' (selected) rest on no predictions: taken on trust"
    ]


def test_a_task_that_is_not_installed(bundle: Path, catalog: Catalog) -> None:
    def change(document: dict[str, Any]) -> None:
        document["cell"]["task"] = "divination"

    found = lines(forged(bundle, change), catalog)
    assert any("nothing can be computed again: unknown task 'divination'" in one for one in found)


def test_a_class_that_is_left_out(bundle: Path, catalog: Catalog) -> None:
    def change(document: dict[str, Any]) -> None:
        document["per_class"] = document["per_class"][:2]

    name = first_record(bundle)
    told = f"error: {name}: says otherwise than the metric accuracy what it means"
    assert told in lines(forged(bundle, change), catalog)


def test_targets_that_are_no_class(bundle: Path, catalog: Catalog) -> None:
    name, outputs = first_record(bundle), honest(cells()[0])[1]
    outputs["test", "selected"].targets[0] = 7
    found = lines(with_outputs(bundle, name, outputs), catalog)
    assert found[-1] == (
        f"error: {name}: its predictions are none of task image-classification: ValueError: "
        "targets must lie in 0..2, got 0..7"
    )


# ---- other data --------------------------------------------------------------------------------


def test_another_test_split(bundle: Path, catalog: Catalog, store: Store) -> None:
    def change(document: dict[str, Any]) -> None:
        document["provenance"]["data"]["test_indices"] = "f" * 16

    found = lines(forged(bundle, change), catalog, store)
    assert [one.partition(".json: ")[2] for one in found] == [
        f"test split (test_indices) is '{'f' * 16}', not '700a4498438a801b'",
        "predictions of test (selected) are not of the examples that it names as test_indices",
    ]


def test_a_smaller_test_split_with_all_hashes_right(
    catalog: Catalog, store: Store, tmp_path: Path
) -> None:
    other = Store(tmp_path / "other")
    cell = cells()[0].model_copy(update={"seed": 9})
    other.write(*honest(cell, rows=8))
    other.add_plan(Plan(cells=(cell,)))
    submit(other.path, tmp_path / "other.zip", catalog)
    assert lines(tmp_path / "other.zip", catalog) == []
    (line,) = lines(tmp_path / "other.zip", catalog, store)
    assert "test split (test_indices) is" in line


def test_targets_that_fit_the_outputs(catalog: Catalog, store: Store, tmp_path: Path) -> None:
    """Every target is what was predicted: accuracy 1, and every hash and metric is right."""
    other, cell = Store(tmp_path / "other"), cells()[0].model_copy(update={"seed": 9})
    record, outputs = honest(cell)
    kept = outputs["test", "selected"]
    targets = kept.outputs.argmax(axis=1)
    outputs["test", "selected"] = dataclasses.replace(kept, targets=targets)
    values = {"accuracy": 1.0, "nll": record.metrics["selected"]["test"]["nll"]}
    classes = tuple(
        one.model_copy(update={"support": int((targets == place).sum()), "recall": 1.0})
        for place, one in enumerate(record.per_class)
    )
    record = record.model_copy(
        update={
            "per_class": classes,
            "metrics": {"selected": {**record.metrics["selected"], "test": values}},
        }
    )
    other.write(record, outputs)
    other.add_plan(Plan(cells=(cell,)))
    members = {
        str(path.relative_to(other.path)): path.read_bytes()
        for path in other.path.rglob("*.*")
        if path.is_file()
    }
    wrong = int((targets != kept.targets).sum())
    found = lines(rebuilt(tmp_path / "other.zip", members), catalog, store)
    assert found[0].partition(".json: ")[2] == (
        f"{wrong} of 12 targets of its test split are not those of 'digits' in the records before "
        "it (12 examples)"
    )


def test_another_fingerprint(bundle: Path, catalog: Catalog, store: Store) -> None:
    def change(document: dict[str, Any]) -> None:
        document["provenance"]["data"]["test"] = "e" * 16

    name = first_record(bundle)
    told = f"error: {name}: fingerprint of the test data of 'digits' is '{'e' * 16}', not "
    assert lines(forged(bundle, change), catalog, store) == [f"{told}'{'1' * 16}'"]
    # The first record of a bundle is believed where nobody else is asked: the others differ.
    alone = lines(bundle, catalog)
    assert len(alone) == 3
    assert all("fingerprint of the test data of 'digits' is" in one for one in alone)


def test_another_protocol(bundle: Path, catalog: Catalog, tmp_path: Path) -> None:
    protocol = cells()[0].protocol.model_copy(update={"epochs": 30.0})
    host = fill(Store(tmp_path / "host"), cells(protocol=protocol))
    found = lines(bundle, catalog, host)
    assert len(found) == 4
    assert found[0].endswith(
        "its protocol ('default') is none that the results have for 'digits' "
        "(--accept-new takes it)"
    )
    assert lines(bundle, catalog, host, accept_new=True) == []


def test_another_data_set(bundle: Path, catalog: Catalog, tmp_path: Path) -> None:
    host = fill(Store(tmp_path / "host"), cells(dataset="letters"))
    assert lines(bundle, catalog, host)[0].endswith(
        "data set 'digits' is not known to the results (--accept-new takes it)"
    )


def test_other_criteria(bundle: Path, catalog: Catalog, tmp_path: Path) -> None:
    host = Store(tmp_path / "host")
    fill(host, cells())
    members = contents(bundle)
    plan = Plan(cells=tuple(cells()), criteria={"alpha": 0.9})
    name = f"plans/{plan.plan_id}.json"
    members[name] = plan.model_dump_json().encode()
    assert lines(rebuilt(bundle, members), catalog, host) == [
        f"error: {name}: asks for other criteria than the plans before it"
    ]


def test_a_plan_that_asks_for_more_than_was_run(bundle: Path, catalog: Catalog) -> None:
    members = contents(bundle)
    plan = Plan(cells=tuple(cells(seeds=5)))
    name = f"plans/{plan.plan_id}.json"
    members[name] = plan.model_dump_json().encode()
    assert lines(rebuilt(bundle, members), catalog) == [
        f"warning: {name}: 6 of its 10 cells have no record: they count as missing"
    ]


def test_a_cell_without_a_plan(bundle: Path, catalog: Catalog) -> None:
    members = {name: one for name, one in contents(bundle).items() if name.startswith("cells")}
    found = lines(rebuilt(bundle, members), catalog)
    assert len(found) == 4
    assert found[0].endswith("its cell is in no plan")


# ---- versions, times, duplicates ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "version", "line"),
    [
        ("sftbench", "99.0", "was made by sftbench 99.0, this is 0.1.0: update sftbench first"),
        ("torch", "newest", "version 'newest' of torch is no version"),
        ("numpy", None, "version None of numpy is no version"),
    ],
)
def test_versions(
    bundle: Path, catalog: Catalog, package: str, version: str | None, line: str
) -> None:
    def change(document: dict[str, Any]) -> None:
        versions = document["provenance"]["versions"]
        versions[package] = version

    assert [one.partition(".json: ")[2] for one in lines(forged(bundle, change), catalog)] == [line]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"finished_at": "2026-01-01T00:00:00+00:00"}, "ended before it began"),
        (
            {"finished_at": "2999-01-01T00:00:00+00:00"},
            "ended in the future, at '2999-01-01T00:00:00+00:00'",
        ),
        (
            {"started_at": "yesterday"},
            "started_at and finished_at are not times in ISO 8601 with a time zone",
        ),
        ({"timing": {"train_seconds": -1.0}}, "has a time below 0"),
    ],
)
def test_times(bundle: Path, catalog: Catalog, changes: dict[str, Any], line: str) -> None:
    found = lines(forged(bundle, lambda document: document.update(changes)), catalog)
    assert [one.partition(".json: ")[2] for one in found] == [line]


def test_a_run_that_is_there_twice(bundle: Path, catalog: Catalog) -> None:
    name, members = first_record(bundle), contents(bundle)
    record = Record.model_validate_json(members[name])
    assert record.predictions is not None
    kept = record.predictions.model_copy(update={"file": "attempt-2.parquet"})
    copy = record.model_copy(update={"attempt": 2, "predictions": kept}).sealed()
    second = name.replace("attempt-1", "attempt-2")
    members[second] = copy.model_dump_json().encode()
    members[f"{second[:-4]}parquet"] = members[f"{name[:-4]}parquet"]
    assert lines(rebuilt(bundle, members), catalog) == [
        f"error: {name}: is the same run as another attempt of the bundle",
        f"error: {second}: is the same run as another attempt of the bundle",
        f"warning: {second}: has the same predictions, to the byte, as {name}",
    ]


# ---- names -------------------------------------------------------------------------------------

SCRIPT = "<script>alert(1)</script>"


@pytest.mark.parametrize("kind", ["backbone", "dataset", "strategy", "variant", "weights"])
def test_a_script_in_a_name(bundle: Path, catalog: Catalog, kind: str) -> None:
    def change(document: dict[str, Any]) -> None:
        document["cell"][kind] = SCRIPT

    assert any(
        one.endswith(f"{SCRIPT!r} is not a name to show")
        for one in lines(forged(bundle, change), catalog)
    )


def test_a_script_in_the_name_of_a_plugin(bundle: Path, catalog: Catalog) -> None:
    def change(document: dict[str, Any]) -> None:
        document["provenance"]["plugins"]["strategy"] = SCRIPT

    name = first_record(bundle)
    told = f"error: {name}: {SCRIPT!r} is not a name to show"
    assert lines(forged(bundle, change), catalog) == [told]


def test_a_script_in_the_name_of_a_planned_cell(bundle: Path, catalog: Catalog) -> None:
    members = contents(bundle)
    plan = Plan(cells=(*cells(), cells()[0].model_copy(update={"strategy": SCRIPT})))
    name = f"plans/{plan.plan_id}.json"
    members[name] = plan.model_dump_json().encode()
    told = f"error: {name}: {SCRIPT!r} is not a name to show"
    assert told in lines(rebuilt(bundle, members), catalog)


def test_a_script_in_the_submitters_name(bundle: Path, catalog: Catalog) -> None:
    hostile = rebuilt(bundle, contents(bundle), name=SCRIPT)
    with pytest.raises(RequestError, match=r"manifest.json name: Value error, '<script>"):
        lines(hostile, catalog)


# ---- archives ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../evil.json",
        "/etc/passwd",
        "cells/../../evil.json",
        "cells/0000000000000000/attempt-1.py",
        "cells/0000000000000000/attempt-1.resampled.parquet",
        "cells/0000000000000000/attempt-0.json",
        "cells\\0000000000000000\\attempt-1.json",
    ],
)
def test_a_path_that_is_no_place_of_a_bundle(bundle: Path, catalog: Catalog, name: str) -> None:
    hostile = rebuilt(bundle, {**contents(bundle), name: b"{}"})
    before = sorted(bundle.parent.rglob("*"))
    found = lines(hostile, catalog)
    assert "is not a name of a bundle" in found[0]
    assert sorted(bundle.parent.rglob("*")) == before


def test_a_bomb_by_its_manifest(bundle: Path, catalog: Catalog) -> None:
    hostile = rebuilt(bundle, {**contents(bundle), "plans/0000000000000000.json": bytes(80 << 20)})
    with pytest.raises(RequestError) as caught:
        lines(hostile, catalog)
    assert "would unpack to 83," in str(caught.value)
    assert "the most is 67,108,864 in 65,000" in str(caught.value)


def test_a_bomb_that_its_manifest_hides(bundle: Path, catalog: Catalog, tmp_path: Path) -> None:
    members, name = contents(bundle), "plans/0000000000000000.json"
    listed = rebuilt(tmp_path / "listed.zip", {**members, name: b"{}"})
    with zipfile.ZipFile(listed) as archive:
        manifest = archive.read("manifest.json")
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", manifest)
        for one, content in members.items():
            archive.writestr(one, content)
        archive.writestr(name, bytes(80 << 20))
    assert lines(bundle, catalog) == [f"error: {name}: does not have the 2 bytes of the manifest"]


def test_a_bomb_of_names(bundle: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "_MOST_DIRECTORY_BYTES", 100)
    with pytest.raises(RequestError, match=r"bundle\.zip: has more than 65,000 members$"):
        lines(bundle, catalog)


def test_a_directory_of_the_large_form(bundle: Path, catalog: Catalog) -> None:
    """It could hold any number of members, and Python would read all of it."""
    content = bundle.read_bytes()
    bundle.write_bytes(content[:-22] + b"PK\6\7" + bytes(16) + content[-22:])
    with pytest.raises(RequestError, match=r"bundle\.zip: has more than 65,000 members$"):
        lines(bundle, catalog)


def test_what_the_manifest_does_not_say(bundle: Path, catalog: Catalog) -> None:
    members = contents(bundle)
    names = list(members)
    with zipfile.ZipFile(bundle) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    manifest["members"][0]["sha256"] = "0" * 64
    gone = manifest["members"].pop()
    manifest["members"].append({**gone, "name": "plans/0000000000000000.json"})
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        for one, content in members.items():
            archive.writestr(one, content)
    found = lines(bundle, catalog)
    assert found[:3] == [
        f"error: {names[0]}: does not have the SHA-256 of the manifest",
        f"error: {names[-1]}: is not in the manifest",
        "error: plans/0000000000000000.json: is in the manifest only",
    ]


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("b.zip", b"", "b.zip: is no whole bundle; sftbench leaderboard submit writes one"),
        ("b.zip", b"PK" * 50, "b.zip: is no whole bundle; sftbench leaderboard submit writes one"),
        ("b.tar", b"", "b.tar: a bundle's name ends in .zip"),
    ],
)
def test_what_is_no_bundle(
    catalog: Catalog, tmp_path: Path, name: str, content: bytes, line: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RequestError) as caught:
        lines(tmp_path / name, catalog)
    assert str(caught.value) == f"{tmp_path}/{line}"


def test_a_damaged_member(bundle: Path, catalog: Catalog) -> None:
    content = bytearray(bundle.read_bytes())
    place = content.index(b"PAR1")
    content[place + 40] ^= 0xFF
    bundle.write_bytes(content)
    with pytest.raises(RequestError, match=r"bundle\.zip: not a whole archive; get it again$"):
        lines(bundle, catalog)


def test_a_table_without_a_record(bundle: Path, catalog: Catalog) -> None:
    members = contents(bundle)
    name = next(one for one in members if one.endswith(".parquet"))
    members["cells/0000000000000000/attempt-1.parquet"] = members[name]
    assert lines(rebuilt(bundle, members), catalog) == [
        "error: cells/0000000000000000/attempt-1.parquet: belongs to no record of the bundle"
    ]


def test_outputs_that_are_not_finite(bundle: Path, catalog: Catalog) -> None:
    name, outputs = first_record(bundle), honest(cells()[0])[1]
    outputs["test", "selected"].outputs[0, 0] = np.nan
    assert lines(with_outputs(bundle, name, outputs), catalog) == [
        f"error: {name}: attempt-1.parquet: predictions of test (selected): an output is not finite"
    ]
