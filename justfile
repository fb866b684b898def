# The commands of this project; `just` lists them.

default:
    @just --list

# Install everything for work on sftbench.
setup:
    pip install -e '.[dev]' -e plugins/sftbench-example -e 'plugins/sftbench-text[test]' \
        -e plugins/sftbench-detection -e 'plugins/sftbench-segmentation[test]' \
        -e plugins/sftbench-peft -e plugins/sftbench-semi -e plugins/sftbench-compress

# The default test run: offline, CPU, a few minutes.
test *ARGS:
    pytest {{ARGS}}

# Long runs, left out of the default test run.
test-slow:
    pytest -m slow

# Hostile and broken inputs; see the script.
fuzz *ARGS:
    python scripts/fuzz_inputs.py {{ARGS}}

# Format, lint, types and layers, as continuous integration does.
check:
    ruff format --check .
    ruff check .
    mypy
    lint-imports

# Format and mend what can be mended.
fix:
    ruff format .
    ruff check --fix .

# Write docs/cli.md from the help texts.
docs:
    python scripts/build_cli_docs.py

# Speed of the parts, by pytest-benchmark.
bench *ARGS:
    pytest benchmarks --benchmark-only --benchmark-json=benchmarks/results/parts.json -o addopts= {{ARGS}}

# The same work through sftbench and its peers (pip install -e '.[peers]').
bench-peers *ARGS:
    python -m benchmarks.peers {{ARGS}}

# How often verdicts are wrong, and how often they decide: the figures of docs/verdicts.md.
study *ARGS:
    python -m benchmarks.verdicts --docs docs/verdicts.md {{ARGS}}

# Run the reference plans again into results/reference-cpu (about half an hour on 2 cores).
reference:
    sftbench run plans/default.toml --device cpu --out results/reference-cpu
    sftbench run plans/cifar10-cpu.toml --device cpu --out results/reference-cpu
    sftbench report results/reference-cpu --format markdown -o results/reference-cpu/README.md

# Build the leaderboard of the results kept here.
leaderboard:
    sftbench leaderboard build results/*-cpu -o results/leaderboard
