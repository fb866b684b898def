"""What every maker of fuzz cases uses: the case itself, and words that nobody expects."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """A command line, or a call that must end like one, and the environment of both.

    `writes` names the files that it may write, beside the folder `out`.
    """

    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    call: Callable[[], object] | None = None
    writes: tuple[Path, ...] = ()


Maker = Callable[[random.Random, Path], Case]

HOSTILE = [
    "", " ", "\t", "\x00", "\x1b[31mred", "\x1b]0;title\x07", "\u202egnp.exe", "\ufeff", "é",
    "日本", "💥", "\udcff", "a\nb", "\r", "%s%n", "{0}", "{x!r}", "$(id)", "`id`", "../..", "/",
    "//", "~", "~nobody", "-", "--", "-1", "0", "1", "2", "7", "1e999", "-1e999", "nan", "inf",
    "1_000", "0x10", "²", "٣", "9" * 30, "9" * 5000, "1" + "0" * 400, "1e-320", "0.5", "true",
    "None", "[]", "{}", "a" * 200, "a" * 5000, "/" * 3000, "a/" * 50, ":", "::", "a:b:c", ",",
    "=", ".", "..", "a=b", "a.b=c", "0-3", "3-0", "0-99999999999999999999", "0,0,0", "con",
    "nul",
]  # fmt: skip
REFERENCES = [
    "full", "head-only", "lp-ft", "scratch", "logit-adjust", "balanced-softmax", "digits",
    "folder", "fashion-mnist-mini", "cifar10", "balanced", "longtail:50", "longtail",
    "longtail:nan", "step:2", "fewshot:0", "fewshot:5", "subset:0.1", "subset:2",
    "labelnoise:-1", "labels:7", "labels:0",
    "pretrained", "none", "tf_efficientnet_lite0", "resnet18",
    "torchvision/resnet18", "torchvision/", "timm/", "default", "article", "inline", "local",
    "jsonl", "accuracy", "image-classification", "folder:/nowhere", "arrays:\x00",
    "folder:~nobody/x", "arrays:/dev/null", "folder:/dev/fd", "strategies", "ful",
]  # fmt: skip


def any_word(rng: random.Random) -> str:
    """Return a name of a component, or something hostile, or both."""
    chance = rng.random()
    if chance < 0.4:
        return rng.choice(REFERENCES)
    if chance < 0.9:
        return rng.choice(HOSTILE)
    return rng.choice(REFERENCES) + rng.choice([":", "", "=", "."]) + rng.choice(HOSTILE)
