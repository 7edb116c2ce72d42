"""Writes what is made from the code, tables of documents and Vault policies, anew: `python -m tests.docs`."""

from tests.docs.tables import rewrite, vault_policies

rewrite()
for path, text in vault_policies().items():
    path.write_text(text)
