"""The page stands alone, shows what the records say, and obeys nobody's names."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.stories import ANSWERS, EVIL, answered, broken, cell, ended_well

from sftbench.contracts.dataset import Examples
from sftbench.discovery import build_catalog
from sftbench.plan import Plan
from sftbench.records import ClassResult
from sftbench.results import Results
from sftbench.store import Store
from sftbench.story.page import story_page
from sftbench.story.tell import Story
from sftbench.thumbnails import SIDE, Thumbnail, Thumbnails, _thumbnail, thumbnails_of


class Elements(HTMLParser):
    """Which elements and attributes a page really has, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for found, attrs in self.found if found == tag]


@pytest.fixture(scope="module")
def page(story: Story) -> Elements:
    assert story.first is not None
    indices = [one.index for one in story.mistakes]
    pictures = thumbnails_of(story.first, indices, build_catalog(chosen=""))
    return Elements(story_page(story, pictures, Path("results")))


def test_it_has_every_part_with_words_for_each_picture(page: Elements) -> None:
    headings = ("What to try next", "What happened when", "Classes", "Confusions", "Worst errors",
                "Calibration", "Criteria", "Cells")  # fmt: skip
    assert all(heading in page.text for heading in headings)
    assert [one["alt"] for one in page.all("img")] == [
        "Test example 55: Bag, taken for Shirt",
        "Test example 8: Shirt, taken for Bag",
        "Test example 21: Boot, taken for Shirt",
    ]
    plots = [one["aria-label"] for one in page.all("svg")]
    assert len(plots) == 6  # three curves, the matrix, reliability before and after
    assert any("Bag taken for Shirt 3 times (50 % of the class)" in str(one) for one in plots)
    assert any("ECE 0.203." in str(one) for one in plots)
    assert any("ECE 0.000." in str(one) for one in plots)
    assert not any(one.get("src", "").startswith("http") for _, one in page.found if "src" in one)


def test_the_pictures_are_those_of_the_data_set(page: Elements) -> None:
    from sftbench.builtin.datasets.embedded import FashionMnistMini

    source = str(page.all("img")[0]["src"]).removeprefix("data:image/png;base64,")
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(source))))
    assert (pixels == FashionMnistMini().load("test", 64).inputs[55][..., 0]).all()


def test_names_of_others_are_text(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one, failed = cell("full", 0, variant=EVIL), cell("full", 1, variant=EVIL)
    store.add_plan(Plan(cells=(one, failed)))
    store.write(broken(1, cell=failed, cell_id=failed.cell_id))
    kept = answered(ANSWERS["full"][0])
    results = tuple(
        ClassResult(label=f"{number}{EVIL}", train_count=1, support=2, recall=0.5)
        for number in range(3)
    )
    store.write(
        ended_well(one, kept, per_class=results, remarks=(EVIL,)), {("test", "selected"): kept}
    )
    story = Results(tmp_path).story("full")
    plain = Elements(story_page(story, Thumbnails({8: Thumbnail(text=EVIL)}), Path(EVIL)))
    assert plain.text.count("<script>alert(1)</script>") > 8
    assert "crashed after 1 attempt: RuntimeError: cannot read" in plain.text
    assert "  line 29\n\\x1b[31mred" in plain.text
    assert sum(tag == "script" for tag, _ in plain.found) == 1
    assert "\x1b" not in plain.text
    assert "\u202e" not in plain.text


# ---- pictures ------------------------------------------------------------------------------------


def test_why_there_are_none(story: Story) -> None:
    catalog = build_catalog(chosen="")
    record = story.first
    assert record is not None

    def missing(**changes: Any) -> str:
        other = record.model_copy(update={"cell": record.cell.model_copy(update=changes)})
        return thumbnails_of(other, [0], catalog).missing

    assert missing(dataset="digit").startswith("unknown dataset 'digit'; did you mean 'digits'")
    assert missing(dataset="cifar10") == "data set 'cifar10' is not on this machine"
    assert missing(dataset="digits") == (
        "the test split of 'digits' on this machine is not the one that the record was made from"
    )
    large = record.cell.protocol.model_copy(update={"image_size": 4096})
    assert missing(protocol=large) == (
        "the test split of 'fashion-mnist-mini' is too large to be decoded for them (50 GB)"
    )
    far = thumbnails_of(record, [1000], catalog)
    assert far == Thumbnails({}, "the test split has no example 1000")


def test_a_story_downloads_nothing(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("sftbench.builtin.datasets.hf_source.endpoint_problem", _asked)
    record = story.first
    assert record is not None
    other = record.cell.model_copy(update={"dataset": "hf:somebody/pictures"})
    found = thumbnails_of(record.model_copy(update={"cell": other}), [0], build_catalog(chosen=""))
    assert found.missing == "data set 'hf:somebody/pictures' is not on this machine"
    assert hub.HF_HUB_OFFLINE is False


def _asked(url: str) -> str | None:
    raise AssertionError(f"{url} was asked")


def test_large_pictures_become_small_and_texts_stay_texts() -> None:
    wide = np.zeros((1, 200, 400, 3), np.uint8)
    found = _thumbnail(Examples(wide, np.zeros(1, np.int64)), 0)
    assert (found.width, found.height) == (SIDE, SIDE // 2)
    words = ["word " * 200]
    told = _thumbnail(Examples(words, np.zeros(1, np.int64)), 0)
    assert told.png == b""
    assert told.text.endswith("...")
    assert len(told.text) == 280
