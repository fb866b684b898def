"""Texts in the formats of Hugging Face's `datasets`: from its hub, or from a folder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Final

from pydantic import Field

from sftbench.api import (
    Dataset,
    DatasetInfo,
    Examples,
    FetchProgress,
    Options,
    Published,
    RequestError,
    Split,
    UnavailableError,
)
from sftbench.builtin.datasets.hf_source import load_splits
from sftbench.builtin.datasets.labelled import check_classes, class_name_problem
from sftbench.names import one_line, shown, unknown_name
from sftbench_text.datasets.texts import HELD_OUT, TASK, Texts
from sftbench_text.queries import parse_query

_TESTS: Final = ("test", "validation", "valid", "val", "dev")


class SourceOptions(Options):
    """`source`: a name on the hub or a folder, then `?KEY=VALUE&...` where a choice is needed."""

    source: str = Field(min_length=1, max_length=2000)


class Choice(Options):
    """What stands behind `?`; None: found by itself."""

    config: str | None = Field(None, min_length=1)
    revision: str | None = Field(None, min_length=1)
    text: str | None = Field(None, min_length=1)
    label: str | None = Field(None, min_length=1)
    train: str | None = Field(None, min_length=1)
    test: str | None = Field(None, min_length=1)


@dataclass(frozen=True, slots=True)
class _Listing:
    class_names: tuple[str, ...]
    parts: dict[Split, Texts]
    told: str


class LibraryTexts(Dataset):
    """A data set of `datasets` with a column of texts and one of labels.

    The texts are the column `text`, `sentence` or `content`, the labels `label`. Splits are `train`
    and `test`, or `validation` where there is no `test`; of a single split a fifth of each class is
    held out. No code of a data set is run.
    """

    @property
    @abstractmethod
    def source(self) -> str:
        """The name or folder, with its choices."""

    def info(self) -> DatasetInfo:
        """Describe the data; where it is not in the cache of `datasets`, it is downloaded.

        Raises:
            RequestError: A choice behind `?` is wrong.
            UnavailableError: It cannot be had, or has no texts with labels.
        """
        found = self._found()
        return DatasetInfo(
            name=self.reference,
            class_names=found.class_names,
            num_train=len(found.parts["train"].texts),
            num_test=len(found.parts["test"].texts),
            task=TASK,
            licence="unknown" if self.published is None else self.published.licence,
            citation="" if self.published is None else self.published.citation,
            source=f"datasets, {one_line(self.source)}; {found.told}",
        )

    def load(self, split: Split, image_size: int) -> Examples:
        """Return the texts of a split, whole.

        Raises:
            UnavailableError: It cannot be had.
        """
        found = self._found()
        return found.parts[split].examples(found.class_names)

    def fetch(self, progress: FetchProgress) -> None:
        """Let `datasets` download it into its own cache, with its own progress.

        Raises:
            UnavailableError: It cannot be had.
        """
        progress(self.reference, 0, None)
        self._found()

    def _found(self) -> _Listing:
        where = f"dataset {shown(self.reference)}"
        name, choice = parse_query(self.source, Choice, where)
        try:
            return _listing(f"{self.name}:{one_line(name)}", name, choice)
        except UnavailableError as error:
            raise UnavailableError(str(error).replace("hf:", "hf-text:")) from None


class HubTexts(LibraryTexts):
    """A set that a person names: on the hub, in the cache of `datasets`, or a folder.

    Behind `?` stand choices: `text=COLUMN`, `label=COLUMN`, `train=SPLIT`, `test=SPLIT`,
    `config=NAME`, `revision=COMMIT`.
    """

    name = "hf-text"
    summary = "texts of a hub by name, or of a folder that `datasets` saved (needs an extra)"
    options_model = SourceOptions
    argument = "source"
    options: SourceOptions

    @property
    def source(self) -> str:
        """The name or folder, with its choices."""
        return self.options.source


class NamedHubTexts(LibraryTexts):
    """One of the hub's sets under a name of its own; a subclass names it."""

    at: ClassVar[str]
    published: ClassVar[Published]

    @property
    def source(self) -> str:
        """Where on the hub, with its choices."""
        return self.at

    def where(self) -> str | None:
        """Say nothing: to find out, `datasets` would have to be imported."""
        return None


class Sst2(NamedHubTexts):
    """Sentences of film reviews; the validation split is the test, whose own has no labels."""

    name = "sst2"
    summary = "SST-2, 67,349 + 872 sentences of film reviews, from the hub"
    at = "stanfordnlp/sst2?text=sentence&test=validation"
    published = Published(
        num_classes=2,
        num_train=67_349,
        num_test=872,
        images="English sentences and phrases",
        licence="unknown",
        citation="Socher et al. 2013; Wang et al. 2018 (GLUE)",
        homepage="https://huggingface.co/datasets/stanfordnlp/sst2",
    )


class AgNews(NamedHubTexts):
    """Titles and first sentences of news on four topics."""

    name = "ag_news"
    summary = "AG News, 120,000 + 7,600 short news on 4 topics, from the hub"
    at = "fancyzhxing/ag_news"
    published = Published(
        num_classes=4,
        num_train=120_000,
        num_test=7_600,
        images="English, 40 words",
        licence="unknown",
        citation="Zhang, Zhao and LeCun 2015, arXiv:1509.01626",
        homepage="https://huggingface.co/datasets/fancyzhxing/ag_news",
    )


class Trec(NamedHubTexts):
    """Questions by what they ask for, in six coarse classes."""

    name = "trec"
    summary = "TREC, 5,452 + 500 questions of 6 kinds, from the hub"
    at = "CogComp/trec?revision=refs%2Fconvert%2Fparquet&label=coarse_label"
    published = Published(
        num_classes=6,
        num_train=5_452,
        num_test=500,
        images="English questions",
        licence="unknown",
        citation="Li and Roth 2002",
        homepage="https://huggingface.co/datasets/CogComp/trec",
    )


class Imdb(NamedHubTexts):
    """Whole reviews of films."""

    name = "imdb"
    summary = "IMDb, 25,000 + 25,000 film reviews, from the hub"
    at = "stanfordnlp/imdb?train=train&test=test"
    published = Published(
        num_classes=2,
        num_train=25_000,
        num_test=25_000,
        images="English, 230 words",
        licence="unknown",
        citation="Maas et al. 2011",
        homepage="https://huggingface.co/datasets/stanfordnlp/imdb",
    )


@lru_cache(maxsize=4)
def _listing(where: str, name: str, choice: Choice) -> _Listing:
    found = load_splits(name, choice.config, choice.revision)
    train, test = _split_names(where, list(found), choice)
    text = _column(where, found[train].features, choice.text, ("text", "sentence", "content"))
    label = _column(where, found[train].features, choice.label, ("label",))
    names = getattr(found[train].features[label], "names", None)
    parts: dict[Split, Texts] = {
        "train": _texts(f"{where} {train}", found[train], text, label, names)
    }
    class_names = tuple(names or sorted(set(parts["train"].labels)))
    for one in class_names:
        problem = class_name_problem(one)
        if problem:
            raise UnavailableError(f"{where}: {problem}")
    check_classes(where, class_names)
    if test is None:
        parts, told = parts["train"].split(), f"split {train}; {HELD_OUT}"
    else:
        parts["test"] = _texts(f"{where} {test}", found[test], text, label, names)
        told = f"splits {train} and {test}"
    strange = sorted(set(parts["test"].labels) - set(parts["train"].labels))
    if strange or not parts["test"].texts:
        what = f"label {shown(strange[0])} is not in {train}" if strange else "is empty"
        raise UnavailableError(
            f"{where}: split {test}: {what}; choose with ?train=SPLIT&test=SPLIT"
        )
    return _Listing(class_names, parts, f"{told}; columns {text} and {label}")


def _split_names(where: str, there: Sequence[str], choice: Choice) -> tuple[str, str | None]:
    for asked in (choice.train, choice.test):
        if asked is not None and asked not in there:
            raise RequestError(f"{where}: {unknown_name('split', asked, there)}")
    train = choice.train or ("train" if "train" in there else there[0])
    test = choice.test or next((one for one in _TESTS if one in there and one != train), None)
    if test == train:
        raise RequestError(f"{where}: {train} is asked for as training and as test split")
    return train, test


def _column(where: str, features: Any, asked: str | None, usual: Sequence[str]) -> str:
    """Return the column that is asked for, or the first of the usual ones that is there."""
    columns = one_line(", ".join(map(str, features)), 1000)
    if asked is not None and asked not in features:
        raise RequestError(f"{where}: no column {shown(asked)}; columns: {columns}")
    found = asked or next((name for name in usual if name in features), None)
    if found is None:
        raise RequestError(
            f"{where}: no column {' or '.join(usual)}; choose with ?{usual[0]}=COLUMN of: {columns}"
        )
    return found


def _texts(where: str, rows: Any, text: str, label: str, names: Sequence[str] | None) -> Texts:
    texts, labels = list(rows[text]), list(rows[label])
    for number, (one, value) in enumerate(zip(texts, labels, strict=True)):
        if not isinstance(one, str):
            raise UnavailableError(f"{where} row {number}: {text} is {shown(one, 40)}, not text")
        known = isinstance(value, str | int) if names is None else _is_class(value, names)
        if not known:
            raise UnavailableError(f"{where} row {number}: label {shown(value, 40)} is no class")
    named = [str(value) if names is None else names[value] for value in labels]
    return Texts(tuple(texts), tuple(named))


def _is_class(value: object, names: Sequence[str]) -> bool:
    return isinstance(value, int) and 0 <= value < len(names)
