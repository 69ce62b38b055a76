"""The command line's groups, to which the modules of commands add theirs."""

from __future__ import annotations

import typer

from shunter.commands.strict import StrictApp

EXIT_CODES = (
    "Exit codes: 0 done as asked · 1 only in part, what stays and why is in the report · 2 the request is wrong, "
    "or the answer cannot be written · 3 refused by a finding, nothing was touched · 4 out of reach, or an outcome is "
    "unknown · 130 interrupted"
)


def _app(about: str) -> typer.Typer:
    return StrictApp(
        help=about,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,  # a bug shows its traceback, as Python writes it
        rich_markup_mode=None,
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
    )


app = _app(
    "Empties the nodes of a Hyper-V failover cluster, or takes the whole cluster through its maintenance: running VMs "
    "move live to other nodes, no node ever takes part in two migrations at once, and what cannot move is named, with "
    "the reason and what would help.\n\n"
    "Begin with: shunter demo"
)
plan = _app("Say what would happen, and why. Touches nothing.")
simulate = _app("Run the real engine on a simulated cluster in virtual time.")
rehearse = _app("Simulate the same run many times: how long it takes, what goes wrong.")
app.add_typer(plan, name="plan")
app.add_typer(simulate, name="simulate")
app.add_typer(rehearse, name="rehearse")
