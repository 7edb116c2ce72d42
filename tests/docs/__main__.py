"""Writes what is made from the code, README tables and Vault policies, anew: `python -m tests.docs`."""

from tests.docs.tables import README, rewritten, vault_policies

README.write_text(rewritten(README.read_text()))
for path, text in vault_policies().items():
    path.write_text(text)
