"""The site: tasks apart, nothing skipped, hostile names inert, swapped in whole."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from support.records import make_cell, make_outputs, make_record
from support.submissions import cells, fill

from sftbench.errors import RequestError
from sftbench.leaderboard import site as sites
from sftbench.leaderboard.site import build
from sftbench.leaderboard.site_data import slug
from sftbench.plan import Cell, Plan, Skip
from sftbench.records import MetricSpec
from sftbench.store import Store

SPEC = MetricSpec(name="accuracy", primary=True, chance=0.1)
HOSTILE = '"><script>alert(1)</script>/../../x'


def put(store: Store, values: dict[Cell | int, float], wanted: list[Cell]) -> None:
    """Write a record with one metric for each of some cells, by their place, and the plan."""
    for place, value in values.items():
        metrics = {"selected": {"test": {"accuracy": value}}}
        record = make_record(wanted[place], metric_specs=(SPEC,), metrics=metrics)  # type: ignore[index]
        store.write(record, make_outputs())
    store.add_plan(Plan(cells=tuple(wanted)))


def planned(strategies: str, datasets: str = "a", seeds: int = 2, **changes: Any) -> list[Cell]:
    return [
        make_cell(strategy=strategy, dataset=f"set-{dataset}", seed=seed, **changes)
        for dataset in datasets
        for strategy in strategies.split()
        for seed in range(seeds)
    ]


def data(site: Path, page: str = "index") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((site / f"{page}.json").read_text())
    return found


def standings(site: Path, page: str = "index") -> dict[str, dict[str, Any]]:
    (board,) = data(site, page)["boards"]
    return {line["label"]: line for line in board["standings"]["lines"]}


class Links(HTMLParser):
    """Collects what a page points to, and elements with handlers."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.scripts = 0
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.found += [
            value for name, value in attrs if name in ("href", "src") and value is not None
        ]


def test_ranks_and_means_by_hand(tmp_path: Path) -> None:
    wanted = planned("full head-only", "ab")
    put(Store(tmp_path / "s"), dict(enumerate([0.9, 0.7, 0.5, 0.5, 0.6, 0.6, 0.6, 0.6])), wanted)
    build([tmp_path / "s"], tmp_path / "site")
    found = standings(tmp_path / "site")
    full, head = found["full"], found["head-only"]
    # Alone in front on one, equal on the other: (1 + 1.5) / 2 and (2 + 1.5) / 2.
    assert (full["mean_rank"], head["mean_rank"]) == (1.25, 1.75)
    assert (full["place"], head["place"]) == (1, 2)
    # The middle half of .6 .6 .7 .9 and of .5 .5 .6 .6.
    assert full["iqm"]["value"] == pytest.approx(0.65)
    assert head["iqm"]["value"] == pytest.approx(0.55)
    assert (full["num_runs"], full["num_planned"], full["num_complete"]) == (4, 4, 2)
    # Two units are too few for an interval of ranks, or a test.
    page = (tmp_path / "site" / "index.html").read_text()
    assert "Mean rank of strategies, 1 is best. <a" in page
    assert "2 units; too few for a test of ties" in page
    assert (full["rank_low"], full["ties"]) == (None, "")
    assert [line["units"] for line in [data(tmp_path / "site")["boards"][0]["standings"]]] == [2]


def test_a_tie_shares_the_place(tmp_path: Path) -> None:
    wanted = planned("full head-only")
    put(Store(tmp_path / "s"), dict(enumerate([0.5, 0.7, 0.6, 0.6])), wanted)
    build([tmp_path / "s"], tmp_path / "site")
    assert {line["place"] for line in standings(tmp_path / "site").values()} == {1}
    assert [row["rank"] for row in data(tmp_path / "site")["rows"]] == [1, 1]


def test_ties_are_shown_from_five_units_on(tmp_path: Path) -> None:
    wanted = planned("full head-only scratch", "abcdef", seeds=1)
    values = [0.9, 0.8, 0.1, 0.8, 0.9, 0.2] * 3
    put(Store(tmp_path / "s"), dict(enumerate(values)), wanted)
    build([tmp_path / "s"], tmp_path / "site")
    found = standings(tmp_path / "site")
    assert {label: line["ties"] for label, line in found.items()} == {
        "full": "a",
        "head-only": "ab",
        "scratch": "b",
    } or {label: line["ties"] for label, line in found.items()} == {
        "full": "a",
        "head-only": "a",
        "scratch": "",
    }
    assert found["full"]["rank_low"] <= 1.5 <= found["full"]["rank_high"]
    page = (tmp_path / "site" / "index.html").read_text()
    assert "Mean rank of strategies, 1 is best, with 95 % intervals over units. <a" in page


def test_one_is_singular(tmp_path: Path) -> None:
    wanted = planned("full head-only", seeds=1)
    put(Store(tmp_path / "s"), {0: 0.9, 1: 0.8}, wanted)
    build([tmp_path / "s"], tmp_path / "site")
    for name in ("index", "strategies/full", "datasets/set-a"):
        text = re.sub(r"<[^>]+>", "", (tmp_path / "site" / f"{name}.html").read_text())
        assert not re.search(r"\b1 (units|strategies|backbones|data sets)\b", text), name
    assert "1 unit; too few for a test of ties" in (tmp_path / "site" / "index.html").read_text()


def test_a_missing_cell_is_counted_and_never_skipped(tmp_path: Path) -> None:
    """The best method by its completed runs stands last: one of its runs is missing."""
    wanted = planned("full head-only")
    put(Store(tmp_path / "s"), {0: 0.99, 2: 0.5, 3: 0.5}, wanted)
    build([tmp_path / "s"], tmp_path / "site")
    full, head = (standings(tmp_path / "site")[label] for label in ("full", "head-only"))
    assert (full["mean_rank"], full["iqm"], full["iqm_completed"]) == (2.0, None, 0.99)
    assert (full["num_runs"], full["num_planned"], full["num_complete"]) == (1, 2, 0)
    assert head["mean_rank"] == 1.0
    row = data(tmp_path / "site")["rows"][0]
    assert (row["mean"], row["mean_over_completed"], row["rank"]) == (None, 0.99, 2)
    assert (row["ends_ok"], row["ends_missing"]) == (1, 1)
    page = (tmp_path / "site" / "index.html").read_text()
    assert "(0.9900)" in page
    assert "1 of 2" in page


def test_a_data_set_that_a_method_was_never_planned_on(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    put(store, {0: 0.9}, planned("full", "a", seeds=1))
    put(store, {0: 0.5, 1: 0.5}, planned("head-only", "ab", seeds=1))
    build([tmp_path / "s"], tmp_path / "site")
    full, head = (standings(tmp_path / "site")[label] for label in ("full", "head-only"))
    assert (full["mean_rank"], full["num_complete"], full["num_units"]) == (1.5, 1, 2)
    assert (head["mean_rank"], full["iqm"]) == (1.5, None)
    # On its own data set it has all there is.
    assert standings(tmp_path / "site", "datasets/set-a")["full"]["iqm"]["value"] == 0.9


def test_failed_and_skipped_cells(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / "s"), planned("full head-only lora", seeds=1)
    put(store, {1: 0.5}, wanted[:2])
    store.write(make_record(wanted[0], status="diverged"))
    store.add_plan(Plan(cells=(), skipped=(Skip(cell=wanted[2], reason="no linear layers"),)))
    build([tmp_path / "s"], tmp_path / "site")
    rows = {row["strategy"]: row for row in data(tmp_path / "site")["rows"]}
    assert (rows["full"]["rank"], rows["full"]["ends_diverged"]) == (2, 1)
    assert (rows["lora"]["rank"], rows["lora"]["ends_skipped"]) == (None, 1)
    assert standings(tmp_path / "site")["lora"]["iqm"] is None


def test_tasks_are_never_in_one_ranking(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    put(store, {0: 0.9}, planned("full", seeds=1))
    put(store, {0: 0.1}, planned("full", seeds=1, task="text-classification"))
    build([tmp_path / "s"], tmp_path / "site")
    boards = data(tmp_path / "site", "strategies/full")["boards"]
    assert [board["task"] for board in boards] == ["image-classification", "text-classification"]
    assert all(one["standings"] is None for one in boards)
    values = [
        [line["iqm"]["value"] for line in board["standings"]["lines"]]
        for board in data(tmp_path / "site")["boards"]
    ]
    assert values == [[0.9], [0.1]]


def test_lower_is_better_where_the_metric_says_so(tmp_path: Path) -> None:
    store, wanted = Store(tmp_path / "s"), planned("full head-only", seeds=1)
    spec = SPEC.model_copy(update={"direction": "min"})
    for cell, value in zip(wanted, (0.9, 0.2), strict=True):
        metrics = {"selected": {"test": {"accuracy": value}}}
        store.write(make_record(cell, metric_specs=(spec,), metrics=metrics), make_outputs())
    store.add_plan(Plan(cells=tuple(wanted)))
    build([tmp_path / "s"], tmp_path / "site")
    assert standings(tmp_path / "site")["head-only"]["place"] == 1


def test_backbones_are_compared_where_they_ran_the_same(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    protocol = make_cell().protocol.model_copy(update={"image_size": 16})
    put(store, {0: 0.5, 1: 0.5}, planned("full head-only", seeds=1))
    large = planned("full head-only lora", seeds=1, backbone="large", protocol=protocol)
    put(store, {0: 0.6, 1: 0.4, 2: 0.9}, large)
    build([tmp_path / "s"], tmp_path / "site")
    (board,) = data(tmp_path / "site")["boards"]
    assert board["backbones"]["units"] == 2
    lines = {line["label"]: line["mean_rank"] for line in board["backbones"]["lines"]}
    assert lines == {"large": 1.5, "tiny": 1.5}


def test_two_stores_count_a_cell_once(tmp_path: Path) -> None:
    wanted = planned("full", seeds=2)
    put(Store(tmp_path / "a"), {0: 0.5}, wanted)
    put(Store(tmp_path / "b"), {0: 0.9, 1: 0.7}, wanted)
    built = build([tmp_path / "a", tmp_path / "b"], tmp_path / "site")
    assert (built.num_records, built.found.num_repeated) == (2, 1)
    assert data(tmp_path / "site")["rows"][0]["mean"] == pytest.approx(0.6)
    build([tmp_path / "b", tmp_path / "a"], tmp_path / "site")
    assert data(tmp_path / "site")["rows"][0]["mean"] == pytest.approx(0.8)


def test_options_and_versions_tell_strategies_apart(tmp_path: Path) -> None:
    wanted = [
        make_cell(strategy="lora", options={"rank": rank, "bias": False}, versions={"strategy": v})
        for rank, v in ((4, 1), (8, 1), (8, 2))
    ]
    put(Store(tmp_path / "s"), {0: 0.5, 1: 0.6, 2: 0.7}, wanted)
    build([tmp_path / "s"], tmp_path / "site")
    assert sorted(standings(tmp_path / "site")) == [
        "lora (rank=4, version 1)",
        "lora (rank=8, version 1)",
        "lora (rank=8, version 2)",
    ]


# ---- files -------------------------------------------------------------------------------------


def test_a_page_for_each_name_with_json_and_parquet_beside_it(tmp_path: Path) -> None:
    store = fill(Store(tmp_path / "s"), cells())
    build([store.path], tmp_path / "site")
    pages = sorted(
        str(path.relative_to(tmp_path / "site")) for path in (tmp_path / "site").rglob("*.html")
    )
    assert pages == [
        "backbones/tiny.html",
        "datasets/digits.html",
        "index.html",
        "packages/sftbench.html",
        "strategies/full.html",
        "strategies/head-only.html",
    ]
    for page in pages:
        place = tmp_path / "site" / page.removesuffix(".html")
        rows = json.loads(Path(f"{place}.json").read_text())["rows"]
        assert pq.read_table(f"{place}.parquet").to_pylist() == rows


def test_it_says_how_far_it_is(tmp_path: Path) -> None:
    stores = [fill(Store(tmp_path / name), cells()).path for name in ("one", "two")]
    told: list[tuple[str, int, int]] = []
    done = build(stores, tmp_path / "site", lambda *one: told.append(one))
    read = [one for one in told if one[0] == "reading cells"]
    num_cells = len(cells())
    assert read == [("reading cells", count * num_cells, 2 * num_cells) for count in (1, 2)]
    pages = [one for one in told if one[0] == "writing pages"]
    assert pages == [("writing pages", number, done.num_pages) for number in range(done.num_pages)]


def test_every_link_leads_somewhere(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    fill(store, [*cells(), *cells(seeds=1, dataset="Odd Name", backbone="Tiny")])
    build([store.path], tmp_path / "site")
    for page in (tmp_path / "site").rglob("*.html"):
        links = Links()
        links.feed(page.read_text())
        outside = [one for one in links.found if not one.startswith(("#", "data:"))]
        assert outside
        for link in outside:
            assert (page.parent / link).is_file(), (page, link)


def test_hostile_names_are_text_and_no_paths(tmp_path: Path) -> None:
    names = ("dataset", "backbone", "variant", "strategy", "weights", "task")
    cell = make_cell(**dict.fromkeys(names, HOSTILE))
    store = Store(tmp_path / "s")
    metrics = {"selected": {"test": {HOSTILE: 0.5}}}
    spec = SPEC.model_copy(update={"name": HOSTILE})
    brought = {"plugins": {"strategy": f"{HOSTILE} 1.0", HOSTILE: HOSTILE}}
    record = make_record(cell, metric_specs=(spec,), metrics=metrics, provenance=brought)
    store.write(record, make_outputs())
    store.add_plan(Plan(cells=(cell,)))
    build([store.path], tmp_path / "site")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s", "site"]
    for page in (tmp_path / "site").rglob("*.html"):
        assert page.resolve().is_relative_to(tmp_path / "site")
        links = Links()
        text = page.read_text()
        links.feed(text)
        assert "<script>alert" not in text
        assert (links.scripts, links.handlers) == (1, [])
        assert all(re.match(r"#|data:text/csv|[a-z./]*[a-z0-9-]+\.", one) for one in links.found)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "A", "a b", "\0", "\ud800", "é", "x" * 300, "a..b"]
)
def test_slugs_are_plain_names_of_files(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]{1,53}", slug(name))
    assert slug(name) != slug(f"{name}x")


def test_slugs_differ_where_a_disk_does_not_tell_case() -> None:
    assert slug("full").lower() != slug("Full").lower()
    assert (slug("lp-ft"), slug("resnet50.a1_in1k")) == ("lp-ft", "resnet50.a1_in1k")


def test_the_same_results_make_the_same_site(tmp_path: Path) -> None:
    store = fill(Store(tmp_path / "s"), cells())
    for name in ("one", "two"):
        build([store.path], tmp_path / name)
    files = {
        name: {
            str(path.relative_to(tmp_path / name)): path.read_bytes()
            for path in (tmp_path / name).rglob("*.*")
        }
        for name in ("one", "two")
    }
    assert files["one"] == files["two"]


# ---- its place ---------------------------------------------------------------------------------


def test_a_site_is_replaced_whole(tmp_path: Path) -> None:
    store = fill(Store(tmp_path / "s"), cells())
    build([store.path], tmp_path / "site")
    (tmp_path / "site" / "strategies" / "gone.html").write_text("of an older build")
    build([store.path], tmp_path / "site")
    assert not (tmp_path / "site" / "strategies" / "gone.html").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s", "site"]


def test_a_folder_that_is_no_site_is_refused(tmp_path: Path) -> None:
    store = fill(Store(tmp_path / "s"), cells(seeds=1))
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "index.json").write_text("{}")
    (mine / "thesis.tex").write_text("years of work")
    with pytest.raises(RequestError) as caught:
        build([store.path], mine)
    assert str(caught.value) == (
        f"{mine} is not a leaderboard that sftbench built; choose a folder that is not there"
    )
    assert (mine / "thesis.tex").read_text() == "years of work"
    linked = tmp_path / "linked"
    linked.symlink_to(mine)
    with pytest.raises(RequestError, match="is not a leaderboard that sftbench built"):
        build([store.path], linked)


def test_a_build_that_fails_leaves_the_old_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fill(Store(tmp_path / "s"), cells(seeds=1))
    build([store.path], tmp_path / "site")
    before = (tmp_path / "site" / "index.html").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sites, "_write_parquet", full)
    with pytest.raises(RequestError, match=r"site: No space left on device$"):
        build([store.path], tmp_path / "site")
    assert (tmp_path / "site" / "index.html").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s", "site"]


def test_a_file_that_is_no_record_is_named(tmp_path: Path) -> None:
    store = fill(Store(tmp_path / "s"), cells(seeds=1))
    shutil.copytree(store.path, tmp_path / "t")
    path = next((tmp_path / "t").glob("cells/*/attempt-1.json"))
    path.write_text("{}")
    built = build([tmp_path / "t"], tmp_path / "site")
    assert [problem.path for problem in built.found.problems] == [path]
    assert "1 file left alone:" in (tmp_path / "site" / "index.html").read_text()
    # Its cell is planned still, so it is missing.
    assert sum(row["ends_missing"] for row in data(tmp_path / "site")["rows"]) == 1


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        build([tmp_path / "none"], tmp_path / "site")
    assert str(caught.value) == (
        f"{tmp_path}/none holds no results; sftbench run --out {tmp_path}/none"
    )
