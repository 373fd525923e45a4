"""The command line: ``dff`` and its subcommands, thin shells over the rest.

Nothing is computed here; whatever a command does, a script can do through the same functions.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Union

import tyro

from dff.cli.demo import Demo
from dff.cli.edit import Edit
from dff.cli.eval import Eval
from dff.cli.export import Export
from dff.cli.features import Features
from dff.cli.generate import Generate
from dff.cli.query import Query
from dff.cli.render import Render
from dff.cli.repaint import Repaint
from dff.cli.schema import Schema
from dff.errors import DffError, UsageError
from dff.quiet import quiet_nerfstudio

Command = Union[  # noqa: UP007
    Annotated[Demo, tyro.conf.subcommand("demo")],
    Annotated[Edit, tyro.conf.subcommand("edit")],
    Annotated[Query, tyro.conf.subcommand("query")],
    Annotated[Render, tyro.conf.subcommand("render")],
    Annotated[Export, tyro.conf.subcommand("export")],
    Annotated[Repaint, tyro.conf.subcommand("repaint")],
    Annotated[Eval, tyro.conf.subcommand("eval")],
    Annotated[Features, tyro.conf.subcommand("features")],
    Annotated[Generate, tyro.conf.subcommand("generate")],
    Annotated[Schema, tyro.conf.subcommand("schema")],
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``dff``; bad input ends it with one line on standard error and status 1 or 2."""
    command = tyro.cli(
        Command,
        prog="dff",
        description="Select anything in a captured 3D scene, then change only that.",
        args=arguments,
    )
    quiet_nerfstudio()
    try:
        command.run()
    except DffError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        print("stopped; what was finished is kept, run the command again to go on", file=sys.stderr)
        sys.exit(130)
