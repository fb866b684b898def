"""Any encoder of transformers, by its name on the hub or from a folder."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from pydantic import Field
from torch import nn

from sftbench.api import (
    BackboneInfo,
    Options,
    PretrainedWeights,
    RequestError,
    UnavailableError,
)
from sftbench.models.freezing import state_digest
from sftbench.names import cause, one_line, shown
from sftbench.network import endpoint_problem
from sftbench_text.backbones.building import without_pooler
from sftbench_text.backbones.encoder import TASKS, Encoder
from sftbench_text.network import Pooling
from sftbench_text.queries import parse_query
from sftbench_text.tokens import TextTokens

_WEIGHTS: Final = ("model.safetensors", "pytorch_model.bin")
_LISTS: Final = tuple(f"{name}.index.json" for name in _WEIGHTS)  # of weights in several files
_TOKENS: Final = 128  # of a text, when nobody says


class ModelOptions(Options):
    """`model`: a name on the hub or a folder, then `?pooling=cls` where the mean is not wanted."""

    model: str = Field(min_length=1, max_length=2000)


class Choice(Options):
    """What stands behind `?`."""

    pooling: Pooling = "mean"
    revision: str | None = Field(None, min_length=1)


class TransformersModel(Encoder):
    """An encoder of transformers: BERT, DistilBERT, RoBERTa, ELECTRA, MPNet, ModernBERT and others.

    Configuration, tokenizer (of the `tokenizers` library) and weights (safetensors, or a state dict
    that is read as tensors alone) come from a folder, the hub's cache, or the hub. No code of a
    model is run. Weights must have every tensor of the encoder: nothing is left random.
    """

    name = "transformers"
    summary = "an encoder of transformers by its name on the hub, or from a folder"
    options_model = ModelOptions
    options: ModelOptions
    argument = "model"

    @property
    def place(self) -> str:
        """The name or folder."""
        return self.options.model.partition("?")[0]

    @property
    def choice(self) -> Choice:
        """What was chosen behind `?`.

        Raises:
            RequestError: An unknown key or value.
        """
        return parse_query(self.options.model, Choice, f"backbone {shown(self.reference)}")[1]

    @property
    def pooling(self) -> Pooling:
        """What becomes the features of a text."""
        return self.choice.pooling

    def info(self) -> BackboneInfo:
        """Describe it; its configuration and tokenizer are read, or downloaded.

        Raises:
            UnavailableError: They cannot be had here.
        """
        return BackboneInfo(
            image_size=min(_TOKENS, self.most_tokens),
            tasks=TASKS,
            source=one_line(self.place),
            preprocessing=f"tokenizer {self.tokens().digest}",
        )

    def config(self) -> Any:
        """Return its configuration."""
        return _config(self.place, self.choice.revision)

    def tokens(self) -> TextTokens:
        """Return its tokenizer."""
        return _tokens(self.place, self.choice.revision, self.pad_id)

    def pretrained(self, network: nn.Module) -> PretrainedWeights:
        """Load the weights as transformers does; nothing in a file is executed.

        Raises:
            UnavailableError: They cannot be had here, or lack a tensor of the encoder.
        """
        problem = self.pretrained_problem()
        if problem:
            raise UnavailableError(problem)
        from transformers import AutoModel

        where = f"weights of {self.reference}"
        with _told(where), _quiet():
            whole, about = AutoModel.from_pretrained(
                self.place,
                revision=self.choice.revision or "main",
                output_loading_info=True,
                trust_remote_code=False,
                weights_only=True,
                dtype="float32",
            )
        missing = sorted(name for name in about["missing_keys"] if not name.startswith("pooler."))
        if missing:
            raise UnavailableError(
                f"{where}: {len(missing)} tensors of the encoder are not in it, the first: "
                f"{one_line(missing[0])}"
            )
        state = {f"model.{name}": t for name, t in without_pooler(whole).state_dict().items()}
        return PretrainedWeights(
            state={name: state[name] for name in network.state_dict()},
            head=None,
            digest=state_digest(sorted(state.items())),
            origin=f"transformers: {one_line(self.place)}",
        )

    def fetch_pretrained(self, say: Callable[[str], None]) -> None:
        """Download what `pretrained` reads into the hub's cache.

        Raises:
            UnavailableError: It cannot be had.
        """
        if _folder(self.place) is not None or self._cached():
            return
        say(f"downloading the weights of {self.reference} from the hub")
        from transformers import AutoModel

        with _told(f"weights of {self.reference}"), _quiet():
            AutoModel.from_pretrained(
                self.place,
                revision=self.choice.revision or "main",
                trust_remote_code=False,
                weights_only=True,
            )

    def pretrained_problem(self) -> str | None:
        """Say why the weights cannot be had here, or None."""
        where = f"weights of {self.reference}"
        folder = _folder(self.place)
        if folder is not None:
            if any((folder / name).is_file() for name in (*_WEIGHTS, *_LISTS)):
                return None
            return f"{where}: {folder} has none of {', '.join(_WEIGHTS)}"
        problem = None if self._cached() else _hub_problem()
        return f"{where}: {problem}" if problem else None

    def _cached(self) -> bool:
        import huggingface_hub

        revision = self.choice.revision
        found = (
            huggingface_hub.try_to_load_from_cache(self.place, name, revision=revision)
            for name in (*_WEIGHTS, *_LISTS)
        )
        return any(isinstance(one, str) for one in found)


def _folder(place: str) -> Path | None:
    """Return the folder that a place names, or None where it is a name on the hub.

    Raises:
        RequestError: It looks like a path, and no folder is there.
    """
    try:
        folder = Path(place).expanduser()
        if folder.is_dir():
            return folder
    except (OSError, RuntimeError, ValueError):  # no home, a name too long, a null character
        pass
    if place.startswith((".", "/", "~")) or place.count("/") > 1:
        raise RequestError(f"backbone transformers:{one_line(place)}: no such folder")
    return None


def _hub_problem() -> str | None:
    import huggingface_hub

    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return "not in the cache of the hub, and HF_HUB_OFFLINE is set"
    reached = endpoint_problem(huggingface_hub.constants.ENDPOINT)
    if reached is None:
        return None
    return (
        f"not in the cache of the hub, and {reached}; copy a folder of it here and name it: "
        "transformers:FOLDER; minilm-l6 comes out of a package"
    )


def _file(place: str, name: str, revision: str | None) -> Path:
    """Return a file of a model: of its folder, the hub's cache, or the hub.

    Raises:
        UnavailableError: It cannot be had.
    """
    where = f"backbone transformers:{one_line(place)}"
    folder = _folder(place)
    if folder is not None:
        if not (folder / name).is_file():
            raise UnavailableError(f"{where}: no {name} in {folder}")
        return folder / name
    import huggingface_hub

    with _told(where):
        found = huggingface_hub.try_to_load_from_cache(place, name, revision=revision)
        if isinstance(found, str):
            return Path(found)
        problem = _hub_problem()
        if problem:
            raise UnavailableError(f"{where}: {problem}")
        return Path(huggingface_hub.hf_hub_download(place, name, revision=revision))


@lru_cache(maxsize=8)
def _config(place: str, revision: str | None) -> Any:
    from transformers import AutoConfig

    path = _file(place, "config.json", revision)
    with _told(f"backbone transformers:{one_line(place)}"), _quiet():
        return AutoConfig.from_pretrained(str(path.parent), trust_remote_code=False)


@lru_cache(maxsize=8)
def _tokens(place: str, revision: str | None, pad_id: int) -> TextTokens:
    return TextTokens.from_file(_file(place, "tokenizer.json", revision), pad_id)


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Turn whatever the libraries raise into one line."""
    try:
        yield
    except (UnavailableError, RequestError):
        raise
    except Exception as error:
        # The hub's client, its transport and the readers of files each have their own errors.
        raise UnavailableError(f"{where}: cannot be had ({cause(error)})") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from talking; what matters is told by who called it."""
    from transformers.utils import logging

    told: Any = logging
    before, bars = told.get_verbosity(), told.is_progress_bar_enabled()
    told.set_verbosity(told.CRITICAL)
    told.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        told.set_verbosity(before)
        if bars:
            told.enable_progress_bar()
