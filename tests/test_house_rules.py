"""Rules of the house that a machine can see."""

from __future__ import annotations

import ast
from pathlib import Path

from sftbench.discovery import build_catalog

PACKAGE = Path(__file__).parent.parent / "sftbench"
# Names of components that stand outside of builtin/, each with its reason.
ALLOWED = {
    ("request.py", "tf_efficientnet_lite0"): "the embedded main job",
    ("request.py", "fashion-mnist-mini"): "the embedded main job",
    ("request.py", "balanced"): "the embedded main job",
    ("request.py", "longtail:50"): "the embedded main job",
    ("request.py", "head-only"): "the embedded main job, and the default baseline",
    ("request.py", "full"): "the embedded main job",
    ("request.py", "lp-ft"): "the embedded main job",
    ("request.py", "scratch"): "the embedded main job",
    ("plan.py", "head-only"): "the default baseline",
    ("pretraining.py", "full"): "the first of two stages is a plain training",
    ("pretraining.py", "balanced"): "the first of two stages is a plain training",
    ("verdicts/criteria.py", "scratch"): "the reference of negative transfer is a role",
    ("verdicts/criteria.py", "head-only"): "what frozen features give is a role",
    ("testing/tiny.py", "full"): "the cell that checks run",
    ("testing/tiny.py", "balanced"): "the cell that checks run",
    ("testing/strategies.py", "subset:0.5"): "what leaves images out",
    ("testing/strategies.py", "balanced"): "the cell that checks run",
    ("testing/execution.py", "full"): "the cell that checks run",
}
# `full`, `step` and the like are also words; only these kinds are looked for.
KINDS = ("strategy", "dataset", "backbone", "variant")
ALSO_WORDS = {"step", "csv", "folder", "arrays", "subset", "scratch", "mixup", "cutmix", "labels"}


def test_no_module_asks_which_component_it_runs() -> None:
    catalog = build_catalog(chosen="")
    names = {name for kind in KINDS for name in catalog.names(kind)}
    found = []
    for path in PACKAGE.rglob("*.py"):
        where = str(path.relative_to(PACKAGE))
        if where.startswith("builtin/"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                name = node.value.partition(":")[0]
                known = name in names and name not in ALSO_WORDS
                if known and (where, node.value) not in ALLOWED:
                    found.append(f"{where}:{node.lineno}: {node.value!r}")
    assert found == []


def test_there_is_no_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "helper", "misc", "common"}
    assert [path for path in PACKAGE.rglob("*.py") if path.stem in drawers] == []


def test_files_stay_short() -> None:
    long = {
        str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
    }
    assert {name: count for name, count in long.items() if count > 400} == {}
