"""The ledger on files, and the command that audits it."""
