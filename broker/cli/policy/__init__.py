"""`broker policy`: one module a command."""

import typer

app = typer.Typer(help="Test, check, explain and replay policies.", no_args_is_help=True)
