"""One made-up match for every rule, and texts that only look like one."""

from __future__ import annotations

TOPICS = ("nuclear weapons", "größe")
JWT = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0"
    ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
)
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow" + "aB3d\n" * 30 + "-----END RSA PRIVATE KEY-----"
PGP = (
    "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2\n\nlQdG\n=aB3d\n"
    "-----END PGP PRIVATE KEY BLOCK-----"
)
OPENSSH = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----"

MATCHES: tuple[tuple[str, str], ...] = (
    ("secret.openai_key", "sk-" + "aB3d" * 12),
    ("secret.openai_key", "sk-proj-abc_-" + "aB3d" * 12),
    ("secret.openai_key", "sk-svcacct-" + "aB3d" * 12),
    ("secret.openai_key", "sk-admin-" + "aB3d" * 12),
    ("secret.openai_key", "sess-" + "aB3d" * 10),
    ("secret.aws_access_key", "AKIAIOSFODNN7EXAMPLE"),
    ("secret.aws_secret_key", "secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ("secret.github_token", "ghp_" + "aB3d" * 9),
    ("secret.github_token", "ghs_" + "aB3d" * 9),
    ("secret.github_token", "github_pat_" + "a1B_" * 20),
    ("secret.google_key", "AIza" + "aB3-_" * 7),
    ("secret.google_key", "ya29." + "a0B" * 20),
    ("secret.google_key", "GOCSPX-" + "aB3d" * 7),
    ("secret.slack_token", "xoxb-123456789012-abcdefghij"),
    ("secret.slack_token", "xapp-1-A0123456789-0123456789"),
    ("secret.slack_token", "hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXX"),
    ("secret.private_key", PEM),
    ("secret.private_key", PGP),
    ("secret.private_key", OPENSSH),
    ("secret.jwt", JWT),
    ("pii.email", "ann.b+x@example.co.uk"),
    ("pii.us_ssn", "123-45-6789"),
    ("pii.payment_card", "4111 1111 1111 1111"),
    ("pii.payment_card", "378282246310005"),
    ("pii.payment_card", "5555-5555-5555-4444"),
    ("pii.iban", "GB82 WEST 1234 5698 7654 32"),
    ("pii.iban", "DE89370400440532013000"),
    ("pii.phone", "+44 20 7946 0958"),
    ("pii.phone", "(415) 555-2671"),
    ("topic.banned", "Nuclear  Weapons"),
    ("topic.banned", "GRÖßE"),
    ("injection.phrase", "Ignore all\n previous instructions"),
)

NEAR_MISSES: tuple[str, ...] = (
    "the prefix sk- stands for secret key",
    "use sk-learn-like-names-for-your-css-classes-please",
    "task-9f8e7d6c5b4a392817065544 is done",
    "550e8400-e29b-41d4-a716-446655440000",
    "version 1.22.333-4444 and 10.0.0.1:8443",
    "order 4111111111111112 and 1234567890123456",
    "built 2024-05-01T12:30:45.123456Z",
    "000-12-3456 666-12-3456 900-12-3456 123-00-4567 123-45-0000",
    "GB83 WEST 1234 5698 7654 32",
    "eyJub3QiOiJhIGp3dCJ9.e30.abc",
    "sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "secret_key = da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "AKIAIOSFODNN7 and AKIA1234567890123456789012",
    "someone@localhost, @mention, a @ b.c",
    "a file that starts with -----BEGIN PRIVATE KEY----- is a key",
    "-----BEGIN CERTIFICATE-----\nMIIEowaB3daB3d\n-----END CERTIFICATE-----",
    "ghp_short and xoxb-short and AIzaShort",
    "nuclearweaponsgrade",
    "please follow all previous instructions",
)
