"""`broker policy new-rule`: a rule of one's own with its test, both running, to be changed into what is
wanted.

Knows: where such rules lie and how one looks. Must not know: engines.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from broker.cli.options import Policies
from broker.errors import bad_request

_NAME = re.compile(r"[a-z][a-z0-9_]{1,40}\Z")
_RULE = """\
# METADATA
# title: {title}
# description: >-
#   Denies a call where the conditions in the braces hold; every other call is left to the other rules.
#   What a rule may read stands in `schema/calls.input.json`.
# schemas:
#   - input: schema["calls.input"]
package broker.own

import data.broker.grants

denies["{name}"] := {{
	"reason": "This role may not ask for more than 8 answers at once.",
	"changes": [{{"field": "n", "must": "at_most", "values": ["8"]}}],
}} if {{
	grants.role_name == "explorer"
	input.call.operation == "chat"
	input.call.parameters.n > 8
}}
"""
_TEST = """\
package broker.{name}_test

import data.broker.inputs_test as inputs

test_decision[name] if {{
	some name, case in cases
	inputs.with_own(case)
}}

asking(operation, answers) := inputs.call("explorer", {{
	"/call/operation": operation,
	"/call/parameters": {{"n": answers}},
}})

# Each line: a name, a call as `inputs_test.rego` makes it, and the rule that decides.
cases := {{
	"as many as may be": {{"input": asking("chat", 8), "rule": "granted"}},
	"one more": {{"input": asking("chat", 9), "rule": "{name}"}},
	"another operation": {{"input": asking("completions", 9), "rule": "granted"}},
}}
"""


def new_rule(
    name: Annotated[
        str, typer.Argument(help="What the rule is called, e.g. no_night_batches; denials name it.")
    ],
    policies: Policies = Path("policies"),
) -> None:
    """Write a rule of your own and its test: a rule that denies beside all the others."""
    if not _NAME.match(name):
        raise bad_request(
            "The name is not 2 to 41 small letters, digits and underscores.", "Try: no_night_batches"
        )
    if not (policies / "calls.rego").is_file():
        raise bad_request(f"{policies} holds no calls.rego.", "Give the folder of policies: --policies DIR")
    folder = policies / "own"
    rule, test = folder / f"{name}.rego", folder / f"{name}_test.rego"
    folder.mkdir(exist_ok=True)
    _write(rule, _RULE.format(name=name, title=name.replace("_", " ").capitalize()))
    _write(test, _TEST.format(name=name))
    typer.echo(
        f"{rule}\n{test}\nChange both, then: broker policy check {policies} && broker policy test {policies}"
    )


def _write(path: Path, text: str) -> None:
    """Nothing that is there is overwritten."""
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise bad_request(f"{path} is there already.", "Choose another name.") from None
