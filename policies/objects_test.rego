package broker.objects_test

import data.broker.inputs_test as inputs

test_decision[name] if {
	some name, case in cases
	inputs.as_expected(case)
}

owning(owner, lent) := {"objects": {"owner": owner, "lent": lent}}

reserving(owner, lent, tokens) := {"objects": {"owner": owner, "lent": lent, "unseen_tokens": tokens}}

cases := {
	"a user's": {"input": inputs.call("archive", {}), "rule": "granted", "expect": reserving(concat(" ", [inputs.id("archive"), "user carol"]), ["pmpt_1", "vs_1"], 20000)},
	"the subject's, where the token names no user": {"input": inputs.call("archive", {"/token/user": null}), "rule": "granted", "expect": reserving(inputs.id("archive"), ["pmpt_1", "vs_1"], 20000)},
	"a team's": {"input": inputs.call("shared", {}), "rule": "granted", "expect": owning("team demo claims", [])},
	"the subject's, where it is of no team": {"input": inputs.call("teamless", {}), "rule": "granted", "expect": owning(inputs.id("teamless"), [])},
}
