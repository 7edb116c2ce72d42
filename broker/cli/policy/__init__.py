"""`broker policy`: one module a command."""

from broker.cli.lazy import Lazy, lazy_group

COMMANDS = {
    "init": Lazy(
        "broker.cli.policy.init:init",
        "Write a policy set of your own that grants nothing yet.",
    ),
    "new-rule": Lazy(
        "broker.cli.policy.newrule:new_rule",
        "Write a rule of your own that denies, and its test.",
    ),
    "check": Lazy(
        "broker.cli.policy.check:check",
        "Find mistakes in rules and data before a broker does.",
    ),
    "test": Lazy(
        "broker.cli.policy.test:test",
        "Run the tests of the policies, and tell their coverage.",
    ),
    "explain": Lazy(
        "broker.cli.policy.explain:explain",
        "Show what would be decided about an input, and why.",
    ),
    "build": Lazy(
        "broker.cli.policy.build:build",
        "Build a signed bundle.",
    ),
    "replay": Lazy(
        "broker.cli.policy.replay:replay",
        "Print where a candidate decides recorded calls otherwise.",
    ),
    "shadow": Lazy("broker.cli.policy.shadow:app", "What a candidate would have decided on live calls."),
}
app = lazy_group("Test, check, explain and replay policies.", COMMANDS)
