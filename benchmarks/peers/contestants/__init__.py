"""Who takes part: each module has `prepare(work)`, which returns what trains and is timed."""

from __future__ import annotations

from typing import Final

# Name on the command line -> (module, the package that it needs beside sftbench's own).
CONTESTANTS: Final[dict[str, tuple[str, str | None]]] = {
    "bare": ("bare", None),
    "bare-plain": ("bare_plain", None),
    "article": ("article", None),
    "timm-loader": ("timm_loader", None),
    "lightning": ("lightning_module", "lightning"),
    "trainer": ("hf_trainer", "transformers"),
    "fastai": ("fastai_learner", "fastai"),
    "sftbench": ("engine", None),
}
# The limits are no peers: nobody trains a model on one batch.
PEERS: Final = ("article", "timm-loader", "lightning", "trainer", "fastai")
