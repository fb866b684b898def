"""Write docs/cli.md from the help texts of the command line.

python scripts/build_cli_docs.py [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
from fresh_page import write_or_check

from sftbench.cli.main import cli

TARGET = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
_HEAD = """# The command line

Made from the help texts by `python scripts/build_cli_docs.py`; a test keeps it fresh. Results go to
standard output, progress and messages to standard error.

"""


def document() -> str:
    """Return the page."""
    return _HEAD + "\n".join(_sections(cli, "sftbench"))


def _sections(command: click.Command, path: str) -> list[str]:
    ctx = click.Context(command, info_name=path, max_content_width=96, terminal_width=96)
    with ctx:
        parts = [f"## {path}\n\n```\n{command.get_help(ctx)}\n```\n"]
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            parts.extend(_sections(command.commands[name], f"{path} {name}"))
    return parts


if __name__ == "__main__":
    sys.exit(write_or_check(TARGET, document()))
