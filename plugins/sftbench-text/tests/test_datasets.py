"""Sets of texts: what is read, what is left out, and what is said of mistakes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from sftbench_text.datasets.embedded import PythonDocsMini
from sftbench_text.datasets.hub import AgNews, HubTexts, SourceOptions
from sftbench_text.datasets.mails import subject_and_body
from sftbench_text.datasets.orange import Newsgroups, OrangeTexts, ReutersR8, parse_table
from sftbench_text.datasets.own import FileOptions, TextCsv, TextJsonl
from sftbench_text.datasets.texts import Texts

from sftbench.api import Published, RequestError, UnavailableError
from sftbench.data.fingerprints import fingerprint
from sftbench.data.verification import verify

_HEADER = ["Category\tText", "d\tstring", "class\t"]


def csv_of(path: Path) -> TextCsv:
    return TextCsv(FileOptions(path=str(path)))


def jsonl_of(path: Path) -> TextJsonl:
    return TextJsonl(FileOptions(path=str(path)))


def test_the_embedded_set_is_the_pinned_one() -> None:
    found = {split.split: split for split in verify(PythonDocsMini())}
    assert found["train"].pinned
    assert found["test"].pinned
    train = PythonDocsMini().load("train", 32)
    assert Counter(train.targets.tolist()) == dict.fromkeys(range(5), 100)
    assert not set(train.inputs) & set(PythonDocsMini().load("test", 32).inputs)


def test_malformed_rows_of_a_table_are_dropped_and_counted() -> None:
    lines = [
        *_HEADER,
        "",
        "earn\tprofits rose",
        "acq",
        "\ttext",
        "acq\t ",
        "a\tb\tc",
        "ship\tx",
        "",
    ]
    found, dropped = parse_table(lines)
    assert found == Texts(("profits rose", "x"), ("earn", "ship"))
    assert dropped == 5


class Small(OrangeTexts):
    """A set like those of the package, of a few lines."""

    name = "small-texts"
    stem = "small"
    malformed = (0, 0)
    source = "a test"
    class_names = ("a", "b")
    content: ClassVar[dict[str, str]] = {
        "small-train.tab": "\n".join([*_HEADER, "a\tone", "b\ttwo", ""]),
        "small-test.tab": "\n".join([*_HEADER, "b\tthree", ""]),
    }
    files: ClassVar[dict[str, str]] = {
        name: hashlib.sha256(text.encode()).hexdigest() for name, text in content.items()
    }
    published = Published(
        num_classes=2, num_train=2, num_test=1, images="", licence="", citation="", homepage=""
    )

    def bring(self, folder: Path, progress: object) -> None:
        for name, text in self.content.items():
            (folder / name).write_text(text)


def test_a_packaged_set_is_fetched_once_and_found_by_name() -> None:
    with pytest.raises(UnavailableError, match="sftbench data fetch small-texts; or take over"):
        Small().info()
    Small().fetch(lambda *_: None)
    assert Small().info().num_train == 2
    examples = Small().load("train", 32)
    assert examples.inputs == ("one", "two")
    assert examples.targets.tolist() == [0, 1]
    place = Path(str(Small().where()))
    (place / "small-test.tab").write_text("other")
    with pytest.raises(UnavailableError, match=r"small-test\.tab: not the published file"):
        Small().load("test", 32)


def test_what_a_package_brings_must_be_the_published_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Small, "content", dict.fromkeys(Small.files, "other"))
    with pytest.raises(UnavailableError, match="not the published file"):
        Small().fetch(lambda *_: None)
    assert Small().where() is None


def test_a_packaged_set_can_be_imported(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"small-train\.tab: No such file"):
        Small().import_from(tmp_path)
    Small().bring(tmp_path, None)
    Small().import_from(tmp_path)
    assert Small().load("test", 32).inputs == ("three",)
    with pytest.raises(RequestError, match="is in the cache already"):
        Small().import_from(tmp_path)


@pytest.mark.parametrize("dataset", [Newsgroups, ReutersR8])
def test_published_sets_say_how_to_get_them(dataset: type[OrangeTexts]) -> None:
    with pytest.raises(UnavailableError, match=f"sftbench data fetch {dataset.name}"):
        dataset().info()
    assert len(dataset.class_names) == dataset.published.num_classes


def test_a_split_is_held_out_by_class_and_texts_stand_in_one_part() -> None:
    texts = tuple(f"text {number % 90}" for number in range(100))
    whole = Texts(texts, tuple("ab"[number % 2] for number in range(100))).without_repeats()
    parts = whole.split()
    assert len(whole.texts) == 90
    assert Counter(parts["test"].labels) == {"a": 9, "b": 9}
    assert not set(parts["train"].texts) & set(parts["test"].texts)
    assert parts == whole.split()


def test_of_a_mail_its_subject_and_body_count() -> None:
    mail = "From: a@b\r\nSubject: Hello there\r\nDate: now\r\n\r\nFirst\r\n\r\nSecond\r\n"
    assert subject_and_body(mail) == "Hello there\n\nFirst\n\nSecond"


def test_a_table_of_texts(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text('kind,body,split\ngood,"a, ""b""\nc",train\nbad,d,train\nbad,e,val\n')
    made = csv_of(Path(f"{file}?text=body&label=kind"))
    assert made.info().class_names == ("bad", "good")
    assert made.load("train", 32).inputs == ('a, "b"\nc', "d")
    assert made.load("test", 32).targets.tolist() == [0]
    assert "split val is the test split" in made.info().source


def test_long_texts_of_a_table_are_read(tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    rows = [f"{'word ' * 40_000},{label}" for label in "abab" * 3]
    file.write_text("\n".join(["text,label", *rows]))
    assert csv_of(file).info().num_train == 10
    assert csv_of(file).info().num_test == 2


def test_json_lines(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    rows = [{"text": f"t {n}", "label": n % 2, "more": [1]} for n in range(10)]
    file.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    assert jsonl_of(file).info().class_names == ("0", "1")
    assert [len(jsonl_of(file).load(split, 8).inputs) for split in ("train", "test")] == [8, 2]
    assert jsonl_of(file).info().task == "text-classification"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("text,lable\na,b\n", "line 1: no column 'label'; did you mean 'lable'? (there: 'text', "),
        ("text,label\na,b\nc\n", "line 3: 1 columns; the first line has 2"),
        ("text,label\na,b\n ,c\n", "line 3: an empty text"),
        ("text,label\na,\n", "line 2: an empty label"),
        ("text,label,split\na,b,dev\n", "line 2: split 'dev'; known: train, test, val"),
        ("text,label,split\na,b,train\nc,d,train\n", ": no line has the split val"),
        (
            "text,label,split\na,b,train\nc,d,train\ne,dd,test\n",
            "line 4: label 'dd' is not in train; did you mean 'd'?",
        ),
        ("text,label\na,b\nc,b\n", ": one class only ('b'); at least 2 are needed"),
        ('text,label\n"a,b\n', "line 2: unexpected end of data"),
        ("text,label\n", ": no example in it"),
    ],
)
def test_mistakes_in_a_table_are_told_with_the_line(
    tmp_path: Path, content: str, told: str
) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(content)
    with pytest.raises(UnavailableError) as caught:
        csv_of(file).info()
    assert f"{file} {told}" in str(caught.value) or f"{file}{told}" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 1: not JSON"),
        ("[" * 100_000, "line 1: not JSON"),
        ("[1]", "line 1: a list, not an object"),
        ('{"text": "a"}', "line 1: no 'label' (there: 'text')"),
        ('{"text": 3, "label": "b"}', "line 1: text is 3, not text"),
        ('{"text": "a", "label": [2]}', "line 1: label is [2], no text or number"),
        ("\ufffd\ud800", "line 1: not UTF-8"),
    ],
)
def test_mistakes_in_json_lines_are_told_with_the_line(
    tmp_path: Path, line: str, told: str
) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_bytes(line.encode(errors="surrogatepass"))
    with pytest.raises(UnavailableError, match="line 1") as caught:
        jsonl_of(file).info()
    assert told in str(caught.value)


def test_a_missing_file_and_a_wrong_choice(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"nothing\.csv: no such file"):
        csv_of(tmp_path / "nothing.csv").info()
    with pytest.raises(RequestError, match="unknown key 'texts'; did you mean 'text'"):
        csv_of(Path(f"{tmp_path}/a.csv?texts=b")).info()


def test_a_folder_of_datasets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    rows = {"sentence": [f"s {n}" for n in range(10)], "label": [n % 2 for n in range(10)]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "saved")
    made = HubTexts(SourceOptions(source=str(tmp_path / "saved")))
    assert made.info().class_names == ("no", "yes")
    assert (made.info().num_train, made.info().num_test) == (8, 2)
    examples = made.load("train", 8)
    assert set(examples.inputs) < set(rows["sentence"])
    assert np.bincount(examples.targets).tolist() == [4, 4]
    assert len(fingerprint(examples)) == 16
    wrong = HubTexts(SourceOptions(source=f"{tmp_path / 'saved'}?text=words"))
    with pytest.raises(RequestError, match="no column 'words'; columns: sentence, label"):
        wrong.info()


def test_without_a_network_the_hub_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(UnavailableError, match="hf-text:fancyzhxing/ag_news: not in the cache"):
        AgNews().info()
