from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sftbench.api import Split, UnavailableError
from sftbench.builtin.datasets.arrays import PathOptions
from sftbench.builtin.datasets.csv_files import Csv
from sftbench.testing import check_component

EXPECTED = "a file with the columns path, label and, if you like, split (train, test, val)"
WITH_SPLIT = """path,label,split
img/0.png,cat,train
img/1.png,dog,train
img/2.png,cat,train
img/3.png,dog,test
img/4.png,cat,test
"""


def table(folder: Path, text: str, name: str = "labels.csv") -> Path:
    (folder / "img").mkdir(exist_ok=True)
    for index in range(12):
        Image.new("RGB", (16, 16), (index, 0, 0)).save(folder / f"img/{index}.png")
    file = folder / name
    file.write_bytes(text.encode())
    return file


def dataset(file: Path | str) -> Csv:
    return Csv(PathOptions(path=str(file)))


def shades(file: Path, split: Split) -> list[int]:
    return [int(value) for value in np.asarray(dataset(file).load(split, 16).inputs)[:, 0, 0, 0]]


def refusal(file: Path | str) -> str:
    with pytest.raises(UnavailableError) as caught:
        dataset(file).info()
    return str(caught.value)


def test_rows_become_splits_in_their_order(tmp_path: Path) -> None:
    file = table(tmp_path, WITH_SPLIT)
    info = dataset(file).info()
    assert info.name == f"csv:{file}"
    assert info.class_names == ("cat", "dog")
    assert (info.num_train, info.num_test) == (3, 2)
    assert info.source == f"image files in {file}; split test is the test split"
    assert dataset(file).load("train", 16).targets.tolist() == [0, 1, 0]
    assert dataset(file).load("test", 16).targets.tolist() == [1, 0]
    assert (shades(file, "train"), shades(file, "test")) == ([0, 1, 2], [3, 4])


def test_its_contract_is_kept(tmp_path: Path) -> None:
    class Sample(Csv):
        """With something to check."""

        example = str(table(tmp_path, WITH_SPLIT))

    findings = check_component("dataset", Sample)
    assert [str(finding) for finding in findings if finding.problem or finding.unchecked] == []


def test_val_is_the_test_split_only_where_there_is_no_other(tmp_path: Path) -> None:
    file = table(tmp_path, WITH_SPLIT.replace(",test", ",val"))
    assert dataset(file).info().source.endswith("; split val is the test split")
    file.write_text(WITH_SPLIT + "img/5.png,dog,val\nimg/6.png,cat,val\n")
    info = dataset(file).info()
    assert info.source.endswith(
        "; split test is the test split; 2 images of split val are not used"
    )
    assert (info.num_train, info.num_test) == (3, 2)


def test_without_a_split_a_fifth_of_each_class_is_held_out(tmp_path: Path) -> None:
    rows = [f"img/{index}.png,{'ab'[index % 2]}" for index in range(12)]
    file = table(tmp_path, "\n".join(["path,label", *rows]))
    info = dataset(file).info()
    assert (info.num_train, info.num_test) == (10, 2)
    assert info.source.endswith(
        "; 20% of each class, at least one image of two, chosen by a hash of the names, are the "
        "test split"
    )
    held_out = shades(file, "test")
    # The order of lines says nothing about who is held out, and neither do further columns.
    file.write_text("\n".join(["label,path,x", *(f"{r[-1]},{r[:-2]},0" for r in rows[::-1])]))
    assert sorted(shades(file, "test")) == sorted(held_out)
    assert len(set(dataset(file).load("test", 16).targets)) == 2


def test_tabs_marks_capitals_blank_lines_and_absolute_paths(tmp_path: Path) -> None:
    text = (
        f"\ufeff Label\tPATH\tSplit\r\n\r\n7\t{tmp_path}/img/3.png\tTrain\r\n"
        "10\timg/2.png\ttrain\r\n10\t../img/1.png\ttest\r\n"
    )
    (tmp_path / "sub").mkdir()
    table(tmp_path, "")
    file = tmp_path / "sub/labels.TSV"
    file.write_text(text.replace("\timg/", "\t../img/"), newline="")
    assert dataset(file).info().class_names == ("7", "10")
    assert (shades(file, "train"), shades(file, "test")) == ([3, 2], [1])


def test_notes_beside_the_table_are_heard(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text('{"horizontal_flip": true, "licence": "CC0-1.0"}')
    info = dataset(table(tmp_path, WITH_SPLIT)).info()
    assert (info.horizontal_flip, info.licence) == (True, "CC0-1.0")


def test_a_missing_file_is_named_with_its_line(tmp_path: Path) -> None:
    file = table(tmp_path, WITH_SPLIT)
    (tmp_path / "img/1.png").unlink()
    train = dataset(file).load("train", 16)
    assert train.unreadable == (f"{file} line 3: {tmp_path}/img/1.png: no such file or directory",)
    assert train.targets.tolist() == [0, 0]


MISTAKES = [
    ("", " line 1: no column 'path' (columns, by commas between: none)"),
    (
        "pth,label\n",
        (
            " line 1: no column 'path'; did you mean 'pth'? (columns, by commas between: 'pth', "
            "'label')"
        ),
    ),
    (
        "path;label\n",
        " line 1: columns are separated by ';'; separate them by commas",
    ),
    ("path,class\n", " line 1: no column 'label' (columns, by commas between: 'path', 'class')"),
    ("path,label,path\n", " line 1: two columns 'path'"),
    ("path,label\n", f": no line after the first; expected {EXPECTED}"),
    ("path,label\na.png,x\nb.png, \n", " line 3: an empty label"),
    ("path,label\na.png,x\x07\n", " line 2: label 'x\\x07' has characters that cannot be printed"),
    (f"path,label\na.png,{'x' * 201}\n", " line 2: a label of 201 characters; 200 is the most"),
    ("path,label\n,x\n", " line 2: an empty path"),
    ("path,label\na\0.png,x\n", " line 2: a null character in the path"),
    ("path,label\na.png,x,y\n", " line 2: 3 columns; the first line has 2"),
    ("path,label\na.png\n", " line 2: 1 columns; the first line has 2"),
    ('path,label\n"a.png,x\n', " line 2: unexpected end of data"),
    ("path,label,split\na.png,x,dev\n", " line 2: split 'dev'; known: train, test, val"),
    ("path,label,split\na.png,x,\n", " line 2: split ''; known: train, test, val"),
    ("path,label,split\na.png,x,test\n", ": no line has the split train"),
    ("path,label,split\na.png,x,train\n", ": no line has the split test or val"),
    ("path,label\na.png,x\nb.png,x\n", ": one class only ('x'); at least 2 are needed"),
    (
        "path,label\na.png,x\nb.png,y\n",
        ": every class has one image, so none can be held out as test split",
    ),
    (
        "path,label\na.png,x\nb.png,y\n./c/../a.png,y\n",
        (
            " line 4: './c/../a.png' stands in line 2 already, with another label ('x', here 'y'); "
            "an image may stand in one line"
        ),
    ),
    (
        "path,label,split\na.png,x,train\na.png,x,test\n",
        (
            " line 3: 'a.png' stands in line 2 already, in another split (train, here test); an "
            "image may stand in one line"
        ),
    ),
    (
        "path,label\na.png,x\na.png,x\n",
        " line 3: 'a.png' stands in line 2 already; an image may stand in one line",
    ),
    (
        "path,label,split\na.png,cat,train\nb.png,dog,train\nc.png,cats,test\n",
        " line 4: label 'cats' is not in train; did you mean 'cat'?",
    ),
]


@pytest.mark.parametrize(("text", "words"), MISTAKES, ids=[words[:40] for _, words in MISTAKES])
def test_a_mistake_names_file_and_line(tmp_path: Path, text: str, words: str) -> None:
    file = table(tmp_path, text)
    assert refusal(file) == f"{file}{words}"


def test_other_encodings_and_sizes_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = table(tmp_path, WITH_SPLIT)
    file.write_bytes("path,label\na.png,x\nb.png,Bär\n".encode("latin-1"))
    assert refusal(file) == f"{file} line 3: not UTF-8; save the table as UTF-8"
    file.write_bytes(WITH_SPLIT.encode("utf-16"))
    assert refusal(file) == f"{file} line 1: not UTF-8; save the table as UTF-8"
    with file.open("wb") as stream:
        stream.truncate((256 << 20) + 1)
    assert refusal(file) == f"{file}: larger than 256 MiB"


@pytest.mark.parametrize("path", ["no/such.csv", ".", "a\0b", "x" * 300])
def test_what_is_no_file_is_told(path: str) -> None:
    assert refusal(path).endswith(f": no such file; expected {EXPECTED}")


def test_the_cache_key_follows_labels_and_files(tmp_path: Path) -> None:
    file = table(tmp_path, WITH_SPLIT)
    first = dataset(file).cache_key("train", 16)
    assert dataset(file).cache_key("train", 16) == first
    file.write_text(WITH_SPLIT.replace("1.png,dog", "1.png,cat").replace("2.png,cat", "2.png,dog"))
    assert dataset(file).cache_key("train", 16) != first
