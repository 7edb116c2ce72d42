"""`broker policy check`: what an author did wrong, with file, line and remedy.

Knows: whom to ask (the text, the embedded engine, OPA). Must not know: what each of them looks for. Exit
codes: 0 nothing is wrong, 1 something is, 2 nothing was found but OPA was not there to be asked, 3 could not
run.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path

import typer

from broker.adapters.policyfiles.datacheck import mistakes_in_data
from broker.adapters.policyfiles.lint import Mistake, find_mistakes, located, places
from broker.adapters.policyfiles.source import PolicySource, read_policies
from broker.adapters.rego.preflight import proof_of, try_whole
from broker.adapters.rego.proof import SlicingProof
from broker.cli.options import Json, PolicyFolder
from broker.cli.policy.diff_report import open_console, print_verdict
from broker.cli.policy.gate import Outcome
from broker.cli.policy.opa import OpaOption, find_opa
from broker.cli.policy.output import (
    NO_OPA,
    counted,
    mistake_document,
    print_mistakes,
    print_proof,
    proof_document,
)
from broker.errors import BrokerError
from broker.ports import DecisionPoint

_FIELD = re.compile(r"`?broker\.(calls|tokens|admin)(?:\.(\w+))?`?")
_SYNTAX = "Mend this line or the one before it: a bracket, a comma or an `if` is missing."


def check(policies: PolicyFolder = Path("policies"), opa: OpaOption = None, as_json: Json = False) -> None:
    """Find mistakes before a broker does: syntax, unknown functions and fields, rules that walk whole tables,
    answers that are no decisions.
    """
    binary = find_opa(opa)
    mistakes, files, proof = _found(policies)
    if binary is not None:
        mistakes += _others(mistakes, binary.check(policies))
    outcome = Outcome.BAD if mistakes else Outcome.GOOD if binary else Outcome.INCOMPLETE
    version = binary.version() if binary else None
    if as_json:
        told = [mistake_document(each) for each in mistakes]
        said = {"verdict": outcome.value, "mistakes": told, "files": files, "opa": version}
        typer.echo(json.dumps({**said, "slicing": proof_document(proof)}))
        raise typer.Exit(outcome.exit_code)
    console = open_console()
    print_mistakes(console, mistakes)
    asked = f"the embedded engine and opa {version}" if version else "the embedded engine"
    print_verdict(
        console,
        outcome,
        f"{counted(len(mistakes), 'mistake')} in {counted(files, 'policy file')}; asked were {asked}",
    )
    print_proof(console, proof)
    if binary is None:
        console.print(NO_OPA.format(what="checks"))
    raise typer.Exit(outcome.exit_code)


def _found(policies: Path) -> tuple[list[Mistake], int, SlicingProof | None]:
    """What the text and the embedded engine tell, how many files there are, and the form they may rule in."""
    try:
        source = read_policies(policies)
    except BrokerError as error:
        return [_of_reading(error)], 0, None
    mistakes = find_mistakes(source, policies) + mistakes_in_data(source)
    proof = None
    try:
        if mistakes:  # what is to be mended is not proven: its author waits
            asyncio.run(try_whole(policies))
        else:
            proof = asyncio.run(proof_of(policies))
    except BrokerError as error:
        mistakes += _others(mistakes, _of_engine(source, error))
    return mistakes, len(source.modules), proof


def _of_reading(error: BrokerError) -> Mistake:
    """What cannot be read, where it stands."""
    file, line = located(error.message) or ("", 1)
    what = error.message.removeprefix(f"{file}:{line}: ") if file else error.message
    return Mistake(file, line, what, error.remedy)


def _of_engine(source: PolicySource, error: BrokerError) -> list[Mistake]:
    """What the engine refuses, where it stands: it names a line, or a field of a decision."""
    place = located(error.message)
    if place is not None:
        file, line = place
        what = error.message.partition(f"{file}:{line}")[2].lstrip(": ")
        return [Mistake(file, line, what, _SYNTAX if "opa check" in error.remedy else error.remedy)]
    named = _FIELD.search(error.message)
    if named is None:
        return [Mistake("", 1, error.message, error.remedy)]
    field = named[2] or "allow"
    found = places(source, DecisionPoint(named[1]), field)
    remedy = f"Look at these lines, which give `{field}`. {error.remedy}"
    return [Mistake(file, line, error.message, remedy) for file, line in found or [("", 1)]]


def _others(known: list[Mistake], found: list[Mistake]) -> list[Mistake]:
    """Those that stand where nothing is known yet; the first to find a mistake explains it."""
    taken = {(each.file, each.line) for each in known}
    return [replace(each) for each in found if (each.file, each.line) not in taken]
