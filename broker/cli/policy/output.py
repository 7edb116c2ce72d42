"""Mistakes and failures as people read them, and as JSON.

Knows: terminals. Must not know: who found them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from broker.adapters.policyfiles.lint import Mistake
from broker.adapters.rego.proof import SlicingProof
from broker.cli.terminal import printable

NO_OPA = (
    "opa was not found, so its own {what} did not run. Put it on PATH, or name it: --opa .tools/bin/opa "
    "(`make servers` builds that one)."
)


def print_mistakes(console: Console, mistakes: Iterable[Mistake]) -> None:
    """`file:line: what`, and below it what to do."""
    for each in mistakes:
        where = f"{each.file}:{each.line}: " if each.file else ""
        console.print(Text(printable(where), style="bold") + Text(printable(each.what)))
        console.print(Text(f"    {printable(each.remedy)}", style="dim"))


def mistake_document(mistake: Mistake) -> dict[str, object]:
    """As JSON values."""
    return asdict(mistake)


def print_proof(console: Console, proof: SlicingProof | None) -> None:
    """In which form the embedded engine will evaluate the policies, and where it is a slower one, why."""
    if proof is None:
        return
    if not proof.why:
        compared = counted(proof.compared, "input")
        console.print(f"sliced, the embedded engine answers {compared} as it does whole", style="dim")
        return
    console.print(Text(printable(f"evaluated {proof.form.value}: {proof.why}"), style="yellow"))
    console.print(Text(f"    {printable(proof.remedy)}", style="dim"))


def proof_document(proof: SlicingProof | None) -> dict[str, object] | None:
    """As JSON values."""
    return asdict(proof) | {"form": proof.form.value} if proof is not None else None


def counted(number: int, noun: str) -> str:
    """`1 mistake`, `2 mistakes`.

    >>> counted(1, "case"), counted(0, "case")
    ('1 case', '0 cases')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
