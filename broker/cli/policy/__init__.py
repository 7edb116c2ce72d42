"""`broker policy`: one module a command."""

import typer

from broker.cli.policy import build, check, explain, init, newrule, replay, shadow, test

app = typer.Typer(help="Test, check, explain and replay policies.", no_args_is_help=True)
app.command("init")(init.init)
app.command("new-rule")(newrule.new_rule)
app.command("check")(check.check)
app.command("test")(test.test)
app.command("explain")(explain.explain)
app.command("build")(build.build)
app.command("replay")(replay.replay)
app.add_typer(shadow.app, name="shadow", help="What a candidate would have decided on live calls.")
