"""`hf:` on folders that `datasets` itself wrote, and on hubs that do not answer."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sftbench.api import RequestError, UnavailableError
from sftbench.builtin.datasets import hf_source, huggingface
from sftbench.builtin.datasets.huggingface import HuggingFace, SourceOptions
from sftbench.testing import check_component

datasets = pytest.importorskip("datasets", reason="needs the extra hf")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf-cache")
    for kept in (hf_source.load_splits, huggingface._rows):
        kept.cache_clear()


def png(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), (shade, 0, 0)).save(stream, "png")
    return stream.getvalue()


def rows(first: int, labels: list[Any], label: Any = None, **more: list[Any]) -> Any:
    """Rows with the shades `first`, `first + 1` ... and these labels."""
    columns = {
        "img": [{"bytes": png(first + i), "path": None} for i in range(len(labels))],
        "fine": labels,
        **more,
    }
    kinds = {
        "img": datasets.Image(),
        "fine": label or datasets.ClassLabel(names=["cat", "dog"]),
        **{name: datasets.Value("string") for name in more},
    }
    return datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))


def both(**splits: Any) -> Any:
    return datasets.DatasetDict(splits)


def saved(place: Path, found: Any) -> Path:
    found.save_to_disk(str(place))
    return place


def parquet(place: Path, found: Any) -> Path:
    place.mkdir()
    for split, one in found.items():
        one.to_parquet(str(place / f"{split}.parquet"))
    return place


def image_folder(place: Path, found: Any) -> Path:
    for split, one in found.items():
        for number, row in enumerate(one):
            file = place / split / ["cat", "dog"][row["fine"]] / f"{number:03}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            row["img"].save(file)
    return place


def dataset(source: Path | str) -> HuggingFace:
    return HuggingFace(SourceOptions(source=str(source)))


def refusal(source: Path | str, kind: type[Exception] = UnavailableError) -> str:
    with pytest.raises(kind) as caught:
        dataset(source).info()
    return str(caught.value)


def shades(source: Path | str, split: Any) -> list[int]:
    return [int(one) for one in np.asarray(dataset(source).load(split, 16).inputs)[:, 3, 3, 0]]


@pytest.mark.parametrize("write", [saved, parquet, image_folder])
def test_each_format_is_read(write: Callable[[Path, Any], Path], tmp_path: Path) -> None:
    place = write(tmp_path / "set", both(train=rows(0, [0, 0, 1, 1]), test=rows(10, [0, 1])))
    info = dataset(place).info()
    assert info.name == f"hf:{place}"
    assert info.class_names == ("cat", "dog")
    assert (info.num_train, info.num_test) == (4, 2)
    columns = "image and label" if write is image_folder else "img and fine"
    assert info.source == f"datasets, {place}; splits train and test; columns {columns}"
    assert (shades(place, "train"), shades(place, "test")) == ([0, 1, 2, 3], [10, 11])
    assert dataset(place).load("train", 16).targets.tolist() == [0, 0, 1, 1]
    key = dataset(place).cache_key("train", 16)
    assert key == dataset(place).cache_key("train", 16) != dataset(place).cache_key("test", 16)


def test_its_contract_is_kept(tmp_path: Path) -> None:
    class Sample(HuggingFace):
        """With something to check."""

        example = str(saved(tmp_path / "set", rows(0, [0, 1] * 10)))

    findings = check_component("dataset", Sample)
    assert [str(finding) for finding in findings if finding.problem or finding.unchecked] == []


def test_validation_is_the_test_split_where_there_is_no_other(tmp_path: Path) -> None:
    place = saved(tmp_path / "set", both(train=rows(0, [0, 1]), validation=rows(7, [1])))
    assert shades(place, "test") == [7]
    assert "splits train and validation" in dataset(place).info().source


def test_of_a_single_split_some_is_held_out(tmp_path: Path) -> None:
    place = saved(tmp_path / "set", rows(0, [0, 1] * 10))
    info = dataset(place).info()
    assert (info.num_train, info.num_test) == (16, 4)
    assert "split train; 20% of each class" in info.source
    assert sorted(shades(place, "train") + shades(place, "test")) == list(range(20))
    assert sorted(dataset(place).load("test", 16).targets.tolist()) == [0, 0, 1, 1]
    assert dataset(place).cache_key("train", 16) != dataset(place).cache_key("test", 16)


def test_unreadable_rows_are_told(tmp_path: Path) -> None:
    broken = rows(0, [0, 1, 1]).cast_column("img", datasets.Image(decode=False)).to_dict()
    broken["img"][1]["bytes"] = png(1)[:48]
    broken["img"][2] = None
    kinds = rows(0, [0]).features
    train = datasets.Dataset.from_dict(broken, features=kinds)
    place = saved(tmp_path / "set", both(train=train, test=rows(0, [0])))
    examples = dataset(place).load("train", 16)
    assert examples.targets.tolist() == [0]
    assert examples.unreadable == (
        f"hf:{place} train row 1: not a whole image",
        f"hf:{place} train row 2: an empty file",
    )


def test_labels_of_text_and_numbers_become_classes_in_order(tmp_path: Path) -> None:
    text = datasets.Value("string")
    place = saved(
        tmp_path / "text", both(train=rows(0, ["b", "a"], text), test=rows(0, ["b"], text))
    )
    assert dataset(f"{place}?label=fine").info().class_names == ("a", "b")
    assert dataset(f"{place}?label=fine").load("train", 16).targets.tolist() == [1, 0]
    whole = datasets.Value("int32")
    place = saved(tmp_path / "int", both(train=rows(0, [10, 9], whole), test=rows(0, [9], whole)))
    assert dataset(f"{place}?label=fine").info().class_names == ("9", "10")


def test_columns_and_splits_that_must_be_chosen_are_listed(tmp_path: Path) -> None:
    found = both(one=rows(0, [0, 1], other=["x", "y"]), two=rows(5, [1, 0], other=["x", "y"]))
    place = saved(tmp_path / "set", found)
    columns = "columns: img (Image), fine (ClassLabel), other (Value)"
    assert refusal(place, RequestError) == (
        f"hf:{place}: no split train; choose with ?train=SPLIT&test=SPLIT of: one, two"
    )
    chosen = f"{place}?train=two&test=one"
    assert (shades(chosen, "train"), shades(chosen, "test")) == ([5, 6], [0, 1])
    for more, words in {
        "&label=othr": f"no column 'othr'; {columns}",
        "&image=fine": f"column fine holds no images; {columns}",
    }.items():
        assert refusal(chosen + more, RequestError) == f"hf:{place}: {words}"
    assert refusal(f"{place}?train=on", RequestError) == (
        f"hf:{place}: unknown split 'on'; did you mean 'one'?"
    )
    assert refusal(f"{place}?train=one&test=one", RequestError) == (
        f"hf:{place}: one is asked for as training and as test split"
    )
    plain = datasets.Dataset.from_dict({"a": [1, 2], "b": ["x", "y"]})
    assert refusal(saved(tmp_path / "plain", plain), RequestError) == (
        f"hf:{tmp_path}/plain: no column of type Image; choose with ?image=COLUMN; "
        "columns: a (Value), b (Value)"
    )


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x?labl=1", "dataset 'hf:x?labl=1': unknown key 'labl'; did you mean 'label'?"),
        ("x?label", "dataset 'hf:x?label': write KEY=VALUE&KEY=VALUE behind the ?"),
        ("x?label=a&label=b", "dataset 'hf:x?label=a&label=b': a key is given twice"),
    ],
)
def test_a_wrong_choice_is_told(source: str, words: str) -> None:
    assert refusal(source, RequestError) == words


def test_labels_that_are_no_class_are_told(tmp_path: Path) -> None:
    place = saved(tmp_path / "set", both(train=rows(0, [0, 1]), test=rows(0, [0, -1])))
    assert refusal(place) == (
        f"hf:{place}: split test row 1: label -1 is no class of the training split; choose other "
        "splits with ?train=SPLIT&test=SPLIT"
    )
    place = saved(tmp_path / "lacks", both(train=rows(0, [0, 0]), test=rows(0, [0])))
    assert refusal(place) == f"hf:{place}: class 'dog' has no image"
    numbers = datasets.Value("float32")
    place = saved(tmp_path / "float", both(train=rows(0, [0.5], numbers)))
    assert refusal(f"{place}?label=fine") == (
        f"hf:{place}: the labels are neither text nor whole numbers"
    )


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    assert refusal("./no/such") == (
        "hf:./no/such: no such folder, and no name of a hub (as ylecun/mnist)"
    )
    (tmp_path / "state.json").write_text("{")
    (tmp_path / "dataset_info.json").write_text("{")
    words = refusal(tmp_path)
    assert words.startswith(f"hf:{tmp_path}: datasets cannot load it (")
    assert "\n" not in words


def test_a_script_is_never_run(tmp_path: Path) -> None:
    place = tmp_path / "evil"
    place.mkdir()
    (place / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert "scripts are no longer supported" in refusal(place)
    assert not (tmp_path / "ran").exists()


def test_a_hub_that_does_not_answer_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # An address of documentation networks, to which nothing answers.
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", "https://192.0.2.1")
    start = time.monotonic()
    words = refusal("some-one/no-such-set")
    assert time.monotonic() - start < 10
    assert words.startswith("hf:some-one/no-such-set: not in the cache of datasets, and 192.0.2.1")
    assert words.endswith(
        "; run it once with a network, or copy a folder of it here and use hf:FOLDER"
    )
    assert datasets.config.HF_HUB_OFFLINE is False


def test_offline_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hf_source, "endpoint_problem", lambda _url: pytest.fail("asked"))
    assert "not in the cache of datasets, and HF_HUB_OFFLINE is set; run" in refusal("a/b")


def test_what_the_hub_gave_once_is_read_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As `datasets` keeps what it loaded from the hub: under OWNER___NAME, not a folder's name.
    place = parquet(tmp_path / "set", both(train=rows(0, [0, 1]), test=rows(5, [1])))
    datasets.load_dataset(str(place))
    (tmp_path / "hf-cache/set").rename(tmp_path / "hf-cache/some-one___set")
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", "https://192.0.2.1")
    assert shades("some-one/set", "test") == [5]
    assert dataset("some-one/set").cache_key("train", 16)
    dataset("some-one/set").fetch(lambda *_: None)


def test_without_the_package_the_extra_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['datasets'] = None\n"
        "from sftbench.cli import main\n"
        f"sys.argv = ['sftbench', 'run', '--dry-run', '-d', 'hf:{tmp_path}']\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 3
    assert "pip install 'sftbench[hf]'" in done.stderr
    assert "Traceback" not in done.stderr
