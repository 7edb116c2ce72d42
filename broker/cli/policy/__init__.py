"""`broker policy`: one module a command."""

import typer

from broker.cli.policy import build, replay, shadow

app = typer.Typer(help="Test, check, explain and replay policies.", no_args_is_help=True)
app.command("build")(build.build)
app.command("replay")(replay.replay)
app.add_typer(shadow.app, name="shadow", help="What a candidate would have decided on live calls.")
