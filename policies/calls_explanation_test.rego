package broker.calls_explanation_test

import data.broker.inputs_test as inputs

test_explanation[name] if {
	some name, case in cases
	said := inputs.explained(case.input)
	said.role == case.role
	said.team == case.team
	[condition.rule | some condition in said.conditions; not condition.holds] == case.failed
}

cases := {
	"nothing failed": {"input": inputs.call("clerk", {"/call/purpose": "to see what happens"}), "role": "clerk", "team": "claims", "failed": []},
	"what the role does not reach": {"input": inputs.call("explorer", {"/call/reaches": ["store", "tool:mcp"]}), "role": "explorer", "team": null, "failed": ["reach_not_granted"]},
	"one condition": {"input": inputs.call("assistant", {"/call/model": "gpt-5"}), "role": "assistant", "team": null, "failed": ["model_not_granted"]},
	"a model means nothing without the operation": {"input": inputs.call("batch", {}), "role": "batch", "team": null, "failed": ["operation_not_granted", "model_not_granted"]},
	"every condition": {
		"input": inputs.call("clerk", {
			"/call/model": "gpt-5",
			"/call/operation": "files.upload",
			"/call/parameters": {"n": 9, "temperature": 2},
			"/estimate/tokens_out_max": 1000000,
			"/token/user": null,
			"/time/weekday": 7,
			"/findings": [{"rule": "secret.jwt", "severity": "high", "location": "messages[0].content"}],
		}),
		"role": "clerk",
		"team": "claims",
		"failed": [
			"operation_not_granted",
			"model_not_granted",
			"user_required",
			"outside_window",
			"parameter_over_ceiling",
			"output_over_cap",
			"content_blocked",
			"break_glass",
		],
	},
	"a stranger": {"input": inputs.call("intruder", {}), "role": null, "team": null, "failed": ["subject_not_granted"]},
	"no input": {"input": {}, "role": null, "team": null, "failed": []},
	"at no time": {"input": inputs.call("assistant", {"/time": {}}), "role": "assistant", "team": null, "failed": []},
}
