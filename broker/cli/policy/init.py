"""`broker policy init`: a policy set of a company's own: the shipped rules, and data that grants nothing yet.

Knows: what a new set holds. Must not know: engines. Everything is denied until somebody is granted something.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Annotated

import typer

from broker.adapters.policyfiles.source import shipped_policies
from broker.cli.options import Json
from broker.errors import bad_request

_DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,253}[a-z0-9])?\Z")
_DEMONSTRATION = ("data.json", "demonstration_data_test.rego")
_KEPT = ("content", "response", "model_optional", "weekdays")  # tables that name nobody
_ROLES = ("auditor", "operator")
_TEST = """\
# What this company's data grants: add two lines with each grant, one that is allowed and one that is not.
package broker.company_data_test

import data.broker.inputs_test as inputs

test_decision[name] if {{
	some name, case in cases
	inputs.as_decided(case)
}}

# A call by a workload: the path of its SPIFFE ID, and what differs from a chat with gpt-4o.
call(path, changes) := json.patch(inputs.call("anyone", changes), [{{
	"op": "add",
	"path": "/subject/id",
	"value": concat("/", ["spiffe://{domain}", path]),
}}])

cases := {{
	"a workload without a grant": {{"input": call("ns/apps/sa/web", {{}}), "rule": "subject_not_granted"}},
}}
"""
_NEXT = """\
{folder}: the shipped rules, their tests and schemas, and data that grants nothing yet: every call is denied.

1. Say who operates and who audits: without them nobody can revoke a token or read a record.
   In {folder}/data.json:
     "grants": {{
       "spiffe://{domain}/ns/security/sa/operator": {{"role": "operator"}},
       "spiffe://{domain}/ns/security/sa/auditor": {{"role": "auditor"}}
     }}
2. Add roles, sets of models and grants for workloads, and lines to {folder}/company_data_test.rego.
3. broker policy check {folder} && broker policy test {folder}
4. Serve it as `policy.directory`; or sign it:
   broker policy build {folder} --signing-key KEY --new-key --revision first"""


def init(
    trust_domain: Annotated[str, typer.Option(help="The SPIFFE trust domain, e.g. example.org.")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The new folder.")] = Path("policies"),
    as_json: Json = False,
) -> None:
    """Write a policy set of your own: the shipped rules and their tests, data that grants nothing yet."""
    if not _DOMAIN.match(trust_domain):
        raise bad_request(
            "The trust domain is not a host name in small letters.", "Try: --trust-domain example.org"
        )
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise bad_request(f"{directory} is there already and not an empty folder.", "Name another folder.")
    shipped = shipped_policies()
    ignored = shutil.ignore_patterns(*_DEMONSTRATION, "own", "__pycache__")
    shutil.copytree(shipped, directory, ignore=ignored, dirs_exist_ok=True)
    (directory / "data.json").write_text(json.dumps(_data(shipped), indent=2) + "\n")
    (directory / "company_data_test.rego").write_text(_TEST.format(domain=trust_domain))
    if as_json:
        typer.echo(json.dumps({"policies": str(directory), "trust_domain": trust_domain}))
    else:
        typer.echo(_NEXT.format(folder=directory, domain=trust_domain))


def _data(shipped: Path) -> dict[str, object]:
    """The demonstration's tables that name nobody, two roles on the broker itself, and nothing granted."""
    demonstration = json.loads((shipped / "data.json").read_text())
    roles = {name: demonstration["roles"][name] for name in _ROLES}
    empty: dict[str, object] = {"grants": {}, "teams": {}, "roles": roles, "models": {}}
    return {**empty, **{name: demonstration[name] for name in _KEPT}, "break_glass": {}}
