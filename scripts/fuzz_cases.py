"""Hostile and broken plan files, options and plugin names for `fuzz_inputs.py`.

A maker takes a random generator and an empty folder, writes its files there, and returns a `Case`.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from fuzz_files import data_sets, records
from fuzz_weights import weights_files
from fuzz_words import HOSTILE, REFERENCES, Case, Maker, any_word

AXES = ["backbone", "weights", "dataset", "variant", "strategy", "seeds", "baseline", "protocol"]
CHANGES = [
    "name", "epochs", "batch_size", "image_size", "validation_fraction", "limit_train",
    "optimizer", "limit_test", "momentum", "weight_decay", "decay_all", "rates", "schedule",
    "warmup", "selection", "label_smoothing", "clip_norm", "augment", "precision",
    "skip_unreadable",
]  # fmt: skip
OPTIONS = [
    "--backbone", "-b", "--weights", "-w", "--dataset", "-d", "--variant", "--strategy", "-s",
    "--seeds", "--baseline", "--protocol", "--epochs", "--batch-size", "--image-size",
    "--optimizer", "--lr", "--weight-decay", "--schedule", "--label-smoothing", "--clip-norm",
    "--precision",
    "--limit-train", "--limit-test", "--skip-unreadable", "--set", "--device", "--out",
    "--retry-failed", "--refresh", "--force", "--json", "--help", "--executor", "--jobs", "-j",
    "--timeout", "--deterministic", "--tracker", "--dry-run", "--format", "--search", "-h",
]  # fmt: skip
PLANS = [
    (
        'strategy = ["head-only", "lp-ft"]\nseeds = 2\n[changes]\nepochs = 1\n'
        'rates = { head = 0.01 }\n[settings."lp-ft"]\nhead_share = 0.3\n[criteria]\nalpha = 0.1\n'
    ),
    (
        'backbone = "resnet18"\nweights = "none"\ndataset = "digits"\nvariant = ["balanced", '
        '"longtail:9"]\nstrategy = "full"\nbaseline = "full"\nseeds = "0-2"\nprotocol = "article"\n'
    ),
]
TOKENS = [
    "[", "]", "[[", "]]", "{", "}", "=", ",", ".", "\n", " ", '"', "'", '"""', "'''", "#", "\\",
    "\\u", "\\U00110000", "1979-05-27T07:32:00Z", "07:61:00", "[changes]\n", "[settings]\n",
    "[[changes]]\n", "a = " + "[" * 2000, "a." * 2000, "x = " + "{a=" * 500, "strategy = ",
    "seeds = ", "epochs = ",
]  # fmt: skip


def plan_text(rng: random.Random, box: Path) -> Case:
    """Text that looks a little like TOML."""
    words = TOKENS + AXES + CHANGES + HOSTILE
    text = "".join(rng.choice(words) for _ in range(rng.randint(0, 20)))
    return _plan_case(rng, box, text.encode(errors="surrogatepass"))


def plan_mutated(rng: random.Random, box: Path) -> Case:
    """A plan that was right before it was cut, doubled, and sown with tokens."""
    text = rng.choice(PLANS)
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(text))
        end = min(len(text), at + rng.randint(0, 12))
        middle = rng.choice([text[at:end] * 2, "", rng.choice(TOKENS), rng.choice(HOSTILE)])
        text = text[:at] + middle + text[end:]
    return _plan_case(rng, box, text.encode(errors="surrogatepass"))


def plan_values(rng: random.Random, box: Path) -> Case:
    """A plan with the right keys and any values."""
    lines = [f"{key} = {_toml(rng)}" for key in rng.sample(AXES, rng.randint(0, 3))]
    lines += ["[changes]"]
    lines += [f"{key} = {_toml(rng)}" for key in rng.sample(CHANGES, rng.randint(0, 3))]
    table = rng.choice(["settings.lp-ft", "settings.full", 'settings."\\u0000"', "criteria"])
    key = rng.choice(["head_share", "alpha", "level", "tau", "x"])
    lines += [f"[{table}]", f"{key} = {_toml(rng)}"]
    return _plan_case(rng, box, "\n".join(lines).encode(errors="surrogatepass"))


def plan_bytes(rng: random.Random, box: Path) -> Case:
    """Any bytes."""
    return _plan_case(rng, box, rng.randbytes(rng.randint(0, 60)))


def options(rng: random.Random, box: Path) -> Case:  # noqa: ARG001 - a maker's signature
    """Any options with any values."""
    command = rng.choice(["run", "plan", "plan", "report", "list", "show", "plugins"])
    words = [command, *(["--dry-run"] if command == "run" else [])]
    words += ["list"] if command == "plugins" else []
    if command == "show" and rng.random() < 0.7:
        words.append(rng.choice(["backbone", "dataset", "variant", "strategy", "protocol", "task"]))
    for _ in range(rng.randint(0, 4)):
        words += [rng.choice(OPTIONS)] if rng.random() < 0.7 else []
        words += [any_word(rng)] if rng.random() < 0.8 else []
    return Case([word.replace("\0", "") for word in words])  # no argument can hold it


def plugins(rng: random.Random, box: Path) -> Case:  # noqa: ARG001 - a maker's signature
    """Any value of SFTBENCH_PLUGINS."""
    words = ["sftbench-example", "example", "builtin", "sftbench", *HOSTILE]
    value = ",".join(rng.choice(words) for _ in range(rng.randint(0, 4)))
    value = value.replace("\0", "")  # no environment can hold it
    command = rng.choice(
        [["plugins", "list"], ["list", "strategies"], ["show", "strategy", rng.choice(REFERENCES)]]
    )
    return Case(command, {"SFTBENCH_PLUGINS": value})


MAKERS: dict[Maker, int] = {
    plan_text: 16,
    plan_mutated: 18,
    plan_values: 19,
    plan_bytes: 3,
    options: 20,
    plugins: 4,
    records: 8,
    data_sets: 12,
    weights_files: 6,
}
"""How often each maker is asked."""


def _plan_case(rng: random.Random, box: Path, content: bytes) -> Case:
    path = box / "plan.toml"
    path.write_bytes(content)
    command = rng.choice([["plan"], ["plan", "--json"], ["run", "--dry-run"]])
    return Case([*command, "--device", "cpu", str(path)])


def _toml(rng: random.Random, depth: int = 0) -> str:
    """Return a TOML value of any type."""
    chance = rng.random()
    if chance < 0.35:
        return json.dumps(any_word(rng).replace("\udcff", "?"))
    if chance < 0.8 or depth > 3:
        plain = [
            "0",
            "1",
            "-1",
            "3",
            "0.5",
            "1e999",
            "nan",
            "-inf",
            "true",
            "1979-05-27",
            "07:32:00",
        ]
        return rng.choice([*plain, "9" * 19, "9" * 300, "9" * 5000, "0x7fff", "1e-320"])
    inner = [_toml(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    if chance < 0.9:
        return f"[{', '.join(inner)}]"
    return "{" + ", ".join(f"k{number} = {value}" for number, value in enumerate(inner)) + "}"
