"""The command line: it parses, calls and prints. Modules import what is heavy when they run."""

from __future__ import annotations

from sftbench.cli.main import main

__all__ = ["main"]
