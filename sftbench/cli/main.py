"""The group of commands, and how a mistake ends: one line, and the right exit code."""

from __future__ import annotations

import os
import sys

import click

from sftbench import __version__
from sftbench.cli.compare import compare
from sftbench.cli.data import data
from sftbench.cli.doctor import doctor
from sftbench.cli.explain import explain
from sftbench.cli.leaderboard import leaderboard
from sftbench.cli.listing import list_
from sftbench.cli.plan import plan
from sftbench.cli.plugins import plugins
from sftbench.cli.pretrain import pretrain
from sftbench.cli.query import query
from sftbench.cli.report import report
from sftbench.cli.run import run
from sftbench.cli.show import show
from sftbench.cli.transferability import transferability
from sftbench.cli.watch import watch
from sftbench.cli.weights import weights
from sftbench.errors import SftbenchError, WeightsUnavailableError
from sftbench.names import one_line

_INTERRUPTED = 130
_MOST_TOLD = 4_000


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="sftbench")
def cli() -> None:
    """Benchmark ways of fine-tuning: which one works, which one fails, and why.

    `sftbench run` alone runs the embedded main job. Exit codes: 0 every cell ended well or was
    skipped for a stated reason, 1 another end, 2 the request is wrong, 3 data or weights cannot
    be had, 130 interrupted. Shell completion: eval "$(_SFTBENCH_COMPLETE=bash_source sftbench)"
    (or zsh_source, fish_source).
    """


for command in (
    run,
    plan,
    pretrain,
    transferability,
    list_,
    show,
    report,
    compare,
    explain,
    leaderboard,
    query,
    watch,
    data,
    weights,
    plugins,
    doctor,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line and exit."""
    code = _run()
    if code == _INTERRUPTED:
        # Python takes more than a second to unload torch, and nothing is left to do.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _run() -> int:
    if any("\0" in word for word in sys.argv[1:]):  # no shell passes one on, other callers may
        click.echo("error: an argument holds a null character, which no name has", err=True)
        return 2
    try:
        result = cli.main(prog_name="sftbench", standalone_mode=False)
    except BrokenPipeError:
        # The reader (`head`) has gone; Python must not complain about it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return _INTERRUPTED
    except Exception as error:
        if os.environ.get("SFTBENCH_DEBUG") == "1":
            raise
        message, code = _explain(error)
        click.echo(message, err=True)
        return code
    return result if isinstance(result, int) else 0


def _explain(error: Exception) -> tuple[str, int]:
    """The one line and the exit code for what went wrong."""
    # Names of files and components come from outside: a terminal shows them and does not obey.
    told = one_line(str(error), _MOST_TOLD)
    if isinstance(error, WeightsUnavailableError):
        return f"error: {told}{_remedies(error.backbone)}", error.exit_code
    if isinstance(error, SftbenchError):
        return f"error: {told}", error.exit_code
    if isinstance(error, OSError):
        return f"error: {told}; finished cells are kept", 1
    what = f"{type(error).__name__}: {told}"
    return f"internal error: {what}; a bug of sftbench (SFTBENCH_DEBUG=1 shows where)", 1


def _remedies(backbone: str) -> str:
    """The commands that would work here, a line each."""
    from sftbench.cli.remedies import commands_without_hub

    commands = [f"  {command}" for command in commands_without_hub(sys.argv[1:], backbone)]
    bring = f"with a file of its weights: sftbench weights import {backbone} FILE"
    return "\n".join(["", "these would work here:", *commands, bring])
