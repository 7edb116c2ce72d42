"""`broker vault init`: shows what the broker needs in Vault, asks, and makes it so.

Knows: how a plan is shown and what follows from an answer. Must not know: what the plan holds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from broker.adapters.vault import Cluster
from broker.adapters.vault.operator import Operator, operator
from broker.adapters.vault.provision.grants import VaultNames
from broker.adapters.vault.provision.plan import Step, StepFinding, StepState, plan
from broker.adapters.vault.provision.setup import carry_out, role_id, survey, wrap_secret_id
from broker.cli.exitcodes import ExitCode
from broker.cli.keystores import OperatorOptions
from broker.cli.options import Json, grouped
from broker.errors import ConfigError

app = typer.Typer(no_args_is_help=True, help="Set Vault up for the broker.")
_USUAL = VaultNames()
_MARKS = {
    StepState.DONE: ("✓", "green"),
    StepState.MISSING: ("+", "yellow"),
    StepState.DIFFERENT: ("~", "yellow"),
}
_CLASH = ("✗", "red")

Address = Annotated[
    list[str], typer.Option("--address", help="https://host:port of Vault; again for every further node.")
]
TrustDomain = Annotated[str, typer.Option("--trust-domain", help="The SPIFFE trust domain of the services.")]
ServerName = Annotated[
    list[str] | None,
    typer.Option(
        "--server-name",
        help="DNS name or IP address of the broker; again for each. Absent: no role for its certificate.",
    ),
]
Ca = Annotated[Path | None, typer.Option("--ca", help="CA of Vault's certificate (PEM); absent: public CAs.")]
Namespace = Annotated[str | None, typer.Option("--namespace", help="Vault's namespace.")]
Secret = Annotated[
    Path | None,
    typer.Option("--wrapped-secret-id", help="Also issue a wrapped secret id into this 0600 file."),
]
Seconds = Annotated[int, typer.Option("--wrap-seconds", min=10, help="How long that one can be opened.")]
OnlyPlan = Annotated[bool, typer.Option("--plan", help="Show what would be done; write nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]


@app.callback()
def group() -> None:
    """Set Vault up for the broker."""


@app.command()
@grouped
def init(
    *,
    address: Address,
    trust_domain: TrustDomain,
    ca: Ca = None,
    namespace: Namespace = None,
    mount: Annotated[str, typer.Option(help="The KV version 2 mount for the keys.")] = _USUAL.mount,
    prefix: Annotated[str, typer.Option(help="The folder of the keys there.")] = _USUAL.prefix,
    approle: Annotated[str, typer.Option(help="The mount of AppRole.")] = _USUAL.approle,
    broker_role: Annotated[str, typer.Option(help="The broker's role, policy and key.")] = _USUAL.role,
    transit: Annotated[str, typer.Option(help="The Transit mount.")] = _USUAL.transit,
    pki: Annotated[str, typer.Option(help="The PKI mount.")] = _USUAL.pki,
    server_name: ServerName = None,
    asking: OperatorOptions,
    wrapped_secret_id: Secret = None,
    wrap_seconds: Seconds = 300,
    only_plan: OnlyPlan = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Shows, then writes, the mounts, policies, roles and keys the broker needs; twice is as good as once."""
    names = VaultNames(*(part.strip("/") for part in (mount, prefix, approle, broker_role, transit, pki)))
    try:
        where = Cluster(tuple(address), namespace, ca)
    except ValueError as error:
        raise ConfigError(f"--address: {error}") from None
    with operator(where, asking.proof()) as one:
        findings = survey(one, plan(names, trust_domain, server_name or ()))
        due = any(finding.state is not StepState.DONE for finding in findings)
        if not as_json or only_plan or not due:
            _tell(findings, as_json)
            if not due and not as_json:
                typer.echo("nothing to do")
        clashes = [finding for finding in findings if finding.state is StepState.CLASH]
        if clashes:
            _complain_of(clashes)
            raise typer.Exit(ExitCode.BAD)
        if only_plan:
            return
        if due:
            _agree(yes)
            carry_out(one, findings)
            _tell(survey(one, plan(names, trust_domain, server_name or ())), as_json)
        _finish(one, names, where, server_name or (), wrapped_secret_id, wrap_seconds, as_json)


def _tell(findings: Sequence[StepFinding], as_json: bool) -> None:
    (_show_json if as_json else _show)(findings)


def _finish(
    one: Operator,
    names: VaultNames,
    where: Cluster,
    server_names: Sequence[str],
    file: Path | None,
    seconds: int,
    as_json: bool,
) -> None:
    if file is not None:
        wrap_secret_id(one, names, file, seconds)
    if not as_json:
        typer.echo(_section(where, names, server_names, role_id(one, names) or "", file))


def _agree(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("nothing was written: look at the plan, then give --yes")
    typer.confirm("Write this to Vault?", abort=True)


def _show_json(findings: Sequence[StepFinding]) -> None:
    typer.echo(
        json.dumps(
            [
                {
                    "what": each.step.what,
                    "why": each.step.why,
                    "state": each.state.value,
                    "differences": each.differences,
                    "path": each.step.write,
                    "body": each.step.body,
                }
                for each in findings
            ]
        )
    )


def _show(findings: Sequence[StepFinding]) -> None:
    """Every step with its reason; of those to come, what will be written."""
    console = Console(soft_wrap=True, highlight=False)
    for each in findings:
        mark, style = _MARKS.get(each.state, _CLASH)
        differing = f" ({', '.join(each.differences)})" if each.differences else ""
        console.print(f"[{style}]{mark} {each.state:9}[/] {escape(each.step.what)}{escape(differing)}")
        console.print(f"             {escape(each.step.why)}", style="dim")
        if each.state is not StepState.DONE:
            console.print(_written(each.step), markup=False)


def _written(step: Step) -> str:
    """The request as it will be made."""
    policy = step.body.get("policy")
    text = policy if isinstance(policy, str) else json.dumps(dict(step.body))
    return "\n".join(f"    {line}".rstrip() for line in (f"write {step.write}", *text.splitlines()))


def _complain_of(clashes: Sequence[StepFinding]) -> None:
    for each in clashes:
        typer.echo(
            f"broker: {each.step.what} is there already and cannot be made as needed "
            f"({', '.join(each.differences)}). Choose another name for it; see --help.",
            err=True,
        )


def _section(
    where: Cluster, names: VaultNames, server_names: Sequence[str], role: str, file: Path | None
) -> str:
    """What the configuration of the broker needs of this."""
    lines = [
        "",
        "[keys]",
        'adapter = "vault"',
        "",
        "[vault]",
        f"addresses = {json.dumps(list(where.addresses))}",
    ]
    given: dict[str, object] = {
        "namespace": where.namespace,
        "ca": where.ca and str(where.ca.resolve()),
        "role_id": role,
    }
    given |= {"wrapped_secret_id": str(file.resolve()) if file is not None else "/etc/broker/vault.wrapped"}
    changed = {"mount": names.mount, "prefix": names.prefix, "auth_mount": names.approle}
    usual = {"mount": _USUAL.mount, "prefix": _USUAL.prefix, "auth_mount": _USUAL.approle}
    given |= {key: value for key, value in changed.items() if value != usual[key]}
    given |= {"certify": True, "transit_mount": names.transit, "transit_name": names.role}
    if server_names:
        given |= {"pki_mount": names.pki, "pki_role": names.role, "server_names": list(server_names)}
    return "\n".join([*lines, *(f"{key} = {json.dumps(value)}" for key, value in given.items() if value)])
