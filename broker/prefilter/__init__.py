"""Content → findings, redaction, and the streaming scanner. Pure; it never decides what then happens."""
