package broker.grants_test

import data.broker.grants

ladder := {"exact": {"gpt-4o": true}, "patterns": ["gpt-4o-20*"]}

subject(id, chain) := {"subject": {"id": id, "tenant": "demo", "actor_chain": chain}}

assistant := "spiffe://dev.broker/ns/demo/sa/assistant"

has_role(document) if grants.role.credential with input as document

test_role_by_subject if has_role(subject(assistant, []))

test_unknown_subject_has_no_role if not has_role(subject("spiffe://dev.broker/ns/demo/sa/intruder", []))

test_prefix_of_a_subject_has_no_role if not has_role(subject("spiffe://dev.broker/ns/demo/sa/assist", []))

test_acting_for_others_is_not_granted if not has_role(subject(assistant, ["spiffe://dev.broker/ns/demo/sa/batch"]))

test_exact_model if grants.holds(ladder, "gpt-4o")

test_exact_model_is_no_prefix if not grants.holds(ladder, "gpt-4o-mini")

test_dated_snapshot_needs_the_pattern if grants.holds(ladder, "gpt-4o-2024-08-06")

test_dated_snapshot_without_the_pattern if not grants.holds({"exact": {"gpt-4o": true}, "patterns": []}, "gpt-4o-2024-08-06")

test_a_dot_is_no_border_to_a_pattern if grants.holds({"exact": {}, "patterns": ["gpt-*"]}, "gpt-4.1")

test_any_model if grants.holds({"exact": {}, "patterns": ["*"]}, "ft:gpt-4o:acme::id")

test_a_grant_may_name_a_team if grants.team == "claims" with input as subject("spiffe://dev.broker/ns/demo/sa/clerk", [])

test_every_role_of_a_grant_exists if {
	every grant in data.grants {
		data.roles[grant.role]
	}
}

# The broker refuses a placement that names something else, or nothing.
test_every_placement_names_a_team_or_a_region if {
	every holder in array.concat([grant | some grant in data.grants], [role | some role in data.roles]) {
		well_placed(object.get(holder, "placement", {"team": "any"}))
	}
}

well_placed(placement) if {
	placement != {}
	every field, place in placement {
		field in {"region", "team"}
		is_string(place)
		place != ""
	}
}

test_every_set_of_models_exists if {
	every role in data.roles {
		every chosen in role.operations {
			data.models[chosen]
		}
	}
}

test_every_role_for_an_emergency_exists if {
	every entry in data.break_glass {
		data.roles[entry.role]
	}
}

# Two ceilings of one field would contradict each other.
test_output_tokens_have_one_name_in_ceilings_and_caps if {
	every role in data.roles {
		one_name(object.get(object.get(role, "requires", {}), "ceilings", {}))
		one_name(object.get(object.get(role, "shape", {}), "caps", {}))
	}
}

one_name(bounds) if object.keys(bounds) & {"max_completion_tokens", "max_output_tokens"} == set()

test_every_role_that_calls_says_how if {
	every role in data.roles {
		complete(role)
	}
}

complete(role) if role.operations == {}

complete(role) if {
	role.operations != {}
	data.content[role.content]
	count(role.limits) > 0
	role.max_output_tokens >= 0
	role.credential != ""
}
