"""The command ``model-worker``."""

import sys

import typer

from worker.cli.call import call
from worker.cli.check import check
from worker.cli.demo import demo
from worker.cli.gateway import gateway
from worker.cli.keygen import keygen
from worker.cli.schema import schema
from worker.cli.serve import serve

app = typer.Typer(
    name="model-worker",
    help="Hosts live, sandboxed, durable runs of Python model files.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(serve)
app.command()(call)
app.command()(check)
app.command()(schema)
app.command()(demo)
app.command()(keygen)
app.command()(gateway)


def main() -> None:
    """Run the command line; a failure it does not foresee ends with one line and exit status 70."""
    try:
        app()
    except Exception as error:  # noqa: BLE001 - the command line's boundary: a person reads this
        sys.stderr.write(f"model-worker: internal error: {type(error).__name__}: {error}\n")
        sys.exit(70)


if __name__ == "__main__":
    main()
