"""From texts to tokens, once: a tokenizer that names itself, and arrays that the cache keeps."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from sftbench import cache
from sftbench.api import UnavailableError
from sftbench.names import cause, one_line

_LAYOUT_VERSION: Final = 1
_CHUNK: Final = 256  # texts in one call
_ARRAYS: Final = ("ids", "ends", "cut")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tokenised:
    """The tokens of N texts, one after another.

    Attributes:
        ids: int32 [sum of lengths].
        ends: int64 [N], where each text ends.
        cut: bool [N], which texts were longer and lost their end.
    """

    ids: NDArray[np.int32]
    ends: NDArray[np.int64]
    cut: NDArray[np.bool_]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64 [N], tokens of each text."""
        return np.diff(self.ends, prepend=0)

    def row(self, index: int) -> NDArray[np.int32]:
        """Return the tokens of one text."""
        start = int(self.ends[index - 1]) if index else 0
        return self.ids[start : int(self.ends[index])]


class TextTokens:
    """A tokenizer of the `tokenizers` library, as a model was trained with it.

    What looks like a special token in a text ("[SEP]") is text: no text can forge one.

    Args:
        tokenizer: Is set up here; nobody else uses it.
        pad_id: The token that fills rows up.
        start: Where it came from, for messages.

    Attributes:
        pad_id: The same.
        digest: Names all that decides the tokens of a text, but their number.
    """

    def __init__(self, tokenizer: Tokenizer, pad_id: int, start: str) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True
        self.pad_id = pad_id
        self._tokenizer = tokenizer
        self._start = start
        content = f"{_LAYOUT_VERSION} {pad_id} {_canonical(tokenizer)}"
        self.digest = hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()[:16]

    @classmethod
    def from_file(cls, path: Path, pad_id: int) -> TextTokens:
        """Read a `tokenizer.json`.

        Raises:
            UnavailableError: It is missing or none.
        """
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001 - the library raises Exception itself
            raise UnavailableError(
                f"tokenizer {one_line(str(path))}: cannot be read ({cause(error)})"
            ) from None
        return cls(tokenizer, pad_id, str(path))

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, those of special tokens too."""
        return int(self._tokenizer.get_vocab_size())

    def encode(self, texts: Sequence[str], most: int) -> Tokenised:
        """Tokenise texts with the model's special tokens; each has one token at least.

        Args:
            texts: N of them.
            most: Tokens of a text at most, special ones included; the end of a longer one is cut.
        """
        self._tokenizer.enable_truncation(most)
        rows: list[NDArray[np.int32]] = []
        cut = np.zeros(len(texts), dtype=np.bool_)
        try:
            for start in range(0, len(texts), _CHUNK):
                some = [_clean(text) for text in texts[start : start + _CHUNK]]
                for number, found in enumerate(self._tokenizer.encode_batch(some), start):
                    rows.append(np.array(found.ids or [self.pad_id], dtype=np.int32))
                    cut[number] = bool(found.overflowing)
        finally:
            self._tokenizer.no_truncation()
        ends = np.cumsum([len(row) for row in rows], dtype=np.int64)
        ids = np.concatenate(rows) if rows else np.empty(0, dtype=np.int32)
        return Tokenised(ids, ends, cut)

    def encode_once(self, texts: Sequence[str], most: int) -> Tokenised:
        """Do the same, and keep the result in the cache for every worker and later run.

        A cache that cannot be used is said and done without.
        """
        built: list[Tokenised] = []

        def build(folder: Path) -> str:
            built.append(self.encode(texts, most))
            for name in _ARRAYS:
                np.save(folder / f"{name}.npy", getattr(built[0], name), allow_pickle=False)
            return f"tokens of {len(texts):,} texts, {most} at most, {one_line(self._start, 80)}"

        try:
            folder = cache.fill("arrays", self._key(texts, most), build)
            arrays: dict[str, Any] = {
                name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in _ARRAYS
            }
            return Tokenised(**arrays)
        except (UnavailableError, OSError, ValueError, EOFError) as error:
            _log.warning(
                "the cache %s cannot keep tokens (%s); each process tokenises anew",
                cache.cache_root(),
                one_line(str(error)),
            )
        return built[0] if built else self.encode(texts, most)

    def _key(self, texts: Sequence[str], most: int) -> str:
        hasher = hashlib.sha256(f"{_LAYOUT_VERSION} {self.digest} {most} {len(texts)}".encode())
        for text in texts:
            content = text.encode(errors="surrogatepass")
            hasher.update(len(content).to_bytes(8, "little") + content)
        return f"tokens-{hasher.hexdigest()[:32]}"


def _clean(text: str) -> str:
    """Return text that UTF-8 can write: half a surrogate pair is none."""
    return text.encode(errors="replace").decode()


def _canonical(tokenizer: Tokenizer) -> str:
    """Return what a tokenizer is, as text; its vocabulary's order does not count."""
    return json.dumps(json.loads(tokenizer.to_str()), sort_keys=True)
