# The fixture is sound: what it names exists, and a role that calls says how. A folder's own data is held to as much
# by `schema/base.data.json`.
package broker.integrity_test

import data.broker.fixture_test as fixture

test_every_role_of_a_grant_exists if {
	every grant in fixture.grants {
		fixture.roles[grant.role]
	}
}

# The broker refuses a placement that names something else, or nothing.
test_every_placement_names_a_team_or_a_region if {
	every holder in array.concat([grant | some grant in fixture.grants], [role | some role in fixture.roles]) {
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
	every role in fixture.roles {
		every chosen in role.operations {
			fixture.models[chosen]
		}
	}
}

test_every_role_for_an_emergency_exists if {
	every entry in fixture.break_glass {
		fixture.roles[entry.role]
	}
}

# Two ceilings of one field would contradict each other.
test_output_tokens_have_one_name_in_ceilings_and_caps if {
	every role in fixture.roles {
		one_name(object.get(object.get(role, "requires", {}), "ceilings", {}))
		one_name(object.get(object.get(role, "shape", {}), "caps", {}))
	}
}

one_name(bounds) if object.keys(bounds) & {"max_completion_tokens", "max_output_tokens"} == set()

test_every_role_that_calls_says_how if {
	every role in fixture.roles {
		complete(role)
	}
}

complete(role) if role.operations == {}

complete(role) if {
	role.operations != {}
	fixture.content[role.content]
	count(role.limits) > 0
	role.max_output_tokens >= 0
	role.credential != ""
}

test_every_owner_and_all_that_is_lent_is_named if {
	every role in fixture.roles {
		objects := object.get(role, "objects", {})
		object.get(objects, "owner", "subject") in {"subject", "team", "user"}
		object.keys(objects) - {"owner", "lent", "unseen_tokens"} == set()
		every id, lent in object.get(objects, "lent", {}) {
			lent == true
			id != ""
		}
	}
}

test_all_that_a_role_reaches_is_a_set_of_words if {
	every role in fixture.roles {
		reaches := object.get(role, "reaches", {"exact": {}, "patterns": []})
		object.keys(reaches) == {"exact", "patterns"}
		every word, reached in reaches.exact {
			reached == true
			word != ""
		}
		is_array(reaches.patterns)
	}
}
