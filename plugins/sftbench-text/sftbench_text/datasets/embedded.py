"""The small set that comes with this package: nothing to download."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

from sftbench.api import Dataset, DatasetInfo, Examples, Published, Split, UnavailableError
from sftbench_text.datasets.texts import TASK, Texts

_FILE: Final = Path(__file__).with_name("data") / "python-docs-mini.jsonl"
_SHA256: Final = "ff9a7fc2d65a0278399664b8ea9dd1d1bc8581d2e8c6f37b1e344341ed33290b"
_CITATION: Final = "Python Software Foundation, docstrings of the library of Python 3.11.7"


class PythonDocsMini(Dataset):
    """Paragraphs of docstrings of Python's library, by what their module is for; 8 to 40 words."""

    name = "python-docs-mini"
    summary = "500 + 400 paragraphs of Python's documentation on 5 topics, in the package"
    published = Published(
        num_classes=5,
        num_train=500,
        num_test=400,
        images="English, 8 to 40 words",
        licence="PSF-2.0",
        citation=_CITATION,
        homepage="https://docs.python.org/3.11/library",
        fingerprints={"train": "6750327850ec85ac", "test": "280476e1c0e46858"},
    )

    def info(self) -> DatasetInfo:
        """Describe the data without reading it."""
        return DatasetInfo(
            name=self.reference,
            class_names=("files", "network", "numbers", "parallel", "text"),
            num_train=500,
            num_test=400,
            task=TASK,
            image_size=48,
            licence="PSF-2.0",
            citation=_CITATION,
            source="docstrings of Python 3.11.7, chosen by a hash, packaged here",
        )

    def where(self) -> str:
        """Say that it comes with this package."""
        return "in sftbench-text"

    def load(self, split: Split, image_size: int) -> Examples:
        """Return the texts of a split.

        Raises:
            UnavailableError: The packaged file is missing or damaged.
        """
        try:
            content = _FILE.read_bytes()
        except OSError as error:
            raise UnavailableError(
                f"{_FILE}: {error.strerror}; install sftbench-text again"
            ) from None
        if hashlib.sha256(content).hexdigest() != _SHA256:
            raise UnavailableError(f"{_FILE}: damaged; install sftbench-text again")
        rows = [json.loads(line) for line in content.decode().splitlines()]
        chosen = [row for row in rows if row["split"] == split]
        texts = Texts(tuple(r["text"] for r in chosen), tuple(r["label"] for r in chosen))
        return texts.examples(self.info().class_names)
