package broker.grants_test

import data.broker.fixture_test as fixture
import data.broker.grants

ladder := {"exact": {"gpt-4o": true}, "patterns": ["gpt-4o-20*"]}

subject(id, chain) := {"subject": {"id": id, "tenant": "demo", "actor_chain": chain}}

assistant := "spiffe://rules.test/ns/demo/sa/assistant"

has_role(document) if {
	grants.role.credential with input as document
		with data.grants as fixture.grants
		with data.roles as fixture.roles
}

test_role_by_subject if has_role(subject(assistant, []))

test_unknown_subject_has_no_role if not has_role(subject("spiffe://rules.test/ns/demo/sa/intruder", []))

test_prefix_of_a_subject_has_no_role if not has_role(subject("spiffe://rules.test/ns/demo/sa/assist", []))

test_acting_for_others_is_not_granted if not has_role(subject(assistant, ["spiffe://rules.test/ns/demo/sa/batch"]))

test_exact_model if grants.holds(ladder, "gpt-4o")

test_exact_model_is_no_prefix if not grants.holds(ladder, "gpt-4o-mini")

test_dated_snapshot_needs_the_pattern if grants.holds(ladder, "gpt-4o-2024-08-06")

test_dated_snapshot_without_the_pattern if not grants.holds({"exact": {"gpt-4o": true}, "patterns": []}, "gpt-4o-2024-08-06")

test_a_dot_is_no_border_to_a_pattern if grants.holds({"exact": {}, "patterns": ["gpt-*"]}, "gpt-4.1")

test_any_model if grants.holds({"exact": {}, "patterns": ["*"]}, "ft:gpt-4o:acme::id")

test_a_grant_may_name_a_team if {
	grants.team == "claims" with input as subject("spiffe://rules.test/ns/demo/sa/clerk", []) with data.grants as fixture.grants
}
