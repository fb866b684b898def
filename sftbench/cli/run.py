"""`sftbench run`: run what is due, then print the table."""

from __future__ import annotations

from typing import Any

import click

from sftbench.cli.axes import make_session, plan_options
from sftbench.cli.reliability import reliability_options


@click.command()
@plan_options
@reliability_options
@click.option("--executor", default="local", show_default=True, help="Where cells run.")
@click.option("--jobs", "-j", type=click.IntRange(1, 1024), help="Workers at a time.")
@click.option("--timeout", type=click.FloatRange(min=0.001), help="Seconds for one cell.")
@click.option("--deterministic", is_flag=True, help="The same bits for the same cell here.")
@click.option(
    "--placement",
    type=click.Choice(["auto", "device", "stream"]),
    default="auto",
    metavar="PLACE",
    help="Of training data: device, stream, or auto: what fits the device. [auto]",
)
@click.option(
    "--memory-format",
    type=click.Choice(["auto", "channels-last", "contiguous"]),
    default="auto",
    show_default=True,
    help="Of images and convolutions; auto: measured here where that pays.",
)
@click.option(
    "--compile",
    "compiling",
    type=click.Choice(["auto", "on", "off"]),
    default="auto",
    show_default=True,
    help="Compile networks (torch.compile); auto: where that is known to pay.",
)
@click.option("--tracker", "trackers", multiple=True, metavar="NAME", help="Who else is told.")
@click.option("--dry-run", is_flag=True, help="Say what would run, and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def run(**options: Any) -> int:
    """Run every combination of the axes, or PLAN.toml, and print what worked and what failed.

    Without any axis it runs the embedded main job: head-only, full, lp-ft and scratch on balanced
    and long-tailed data, 7 seeds each. Cells that have a record are not run again.
    """
    from sftbench.cli.plan import print_plan
    from sftbench.cli.progress import progress_for
    from sftbench.cli.tables import print_results
    from sftbench.cli.telling import telling

    with telling() as told:
        session = make_session(options, told=told)
        if not options["dry_run"]:
            session.prepare(told)
    if options["dry_run"]:
        print_plan(session.plan, session.due, session.store, as_json=options["as_json"])
        return 0
    with progress_for(session.plan, session.due, session.store) as progress:
        session.execute(listeners=[progress])
    results = session.results()
    print_results(results, as_json=options["as_json"])
    return results.exit_code(session.plan)
