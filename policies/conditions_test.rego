package broker.conditions_test

import data.broker.inputs_test as inputs

test_decision[name] if {
	some name, case in cases
	inputs.as_expected(case)
}

cases := {
	"all conditions hold": {"input": inputs.call("clerk", {}), "rule": "granted"},
	"a user the token does not name": {"input": inputs.call("clerk", {"/token/user": null}), "rule": "user_required"},
	"a user the body alone names": {"input": inputs.call("clerk", {"/token/user": null, "/call/user": "carol"}), "rule": "user_required"},
	"no token at all": {"input": {"subject": inputs.call("clerk", {}).subject, "call": inputs.call("clerk", {}).call, "findings": []}, "rule": "user_required"},
	"before the window": {"input": inputs.at("clerk", 2, "07:59"), "rule": "outside_window"},
	"as the window opens": {"input": inputs.at("clerk", 2, "08:00"), "rule": "granted"},
	"before the window closes": {"input": inputs.at("clerk", 5, "17:59"), "rule": "granted"},
	"as the window closes": {"input": inputs.at("clerk", 5, "18:00"), "rule": "outside_window"},
	"in the other window": {"input": inputs.at("clerk", 6, "11:59"), "rule": "granted"},
	"the hours of another day": {"input": inputs.at("clerk", 6, "14:00"), "rule": "outside_window"},
	"on another day": {"input": inputs.at("clerk", 7, "11:00"), "rule": "outside_window"},
	"at no time": {"input": inputs.call("clerk", {"/time": {}}), "rule": "outside_window"},
	"a role without windows": {"input": inputs.at("assistant", 7, "03:00"), "rule": "granted"},
	"at the ceiling": {"input": inputs.sized("clerk", 4096, {"max_completion_tokens": 4096, "n": 1, "temperature": 1.5}), "rule": "granted"},
	"over the ceiling of temperature": {"input": inputs.sized("clerk", 1000, {"temperature": 1.51}), "rule": "parameter_over_ceiling"},
	"over the ceiling of n": {"input": inputs.sized("clerk", 500, {"n": 5, "max_tokens": 100}), "rule": "parameter_over_ceiling"},
	"no number where a ceiling is": {"input": inputs.sized("clerk", 500, {"n": true}), "rule": "parameter_over_ceiling"},
	"over the ceiling of max_tokens": {"input": inputs.sized("clerk", 4097, {"max_tokens": 4097}), "rule": "parameter_over_ceiling"},
	"the same by its newer name": {"input": inputs.sized("clerk", 4097, {"max_completion_tokens": 4097}), "rule": "parameter_over_ceiling"},
	"the same by the name of responses": {"input": inputs.sized("clerk", 4097, {"max_output_tokens": 4097}), "rule": "parameter_over_ceiling"},
	"a parameter without a ceiling": {"input": inputs.sized("clerk", 1000, {"top_p": 900}), "rule": "granted"},
	"a role without ceilings": {"input": inputs.sized("assistant", 1000, {"n": 100, "temperature": 2}), "rule": "granted"},
	"the first that fails names itself": {"input": inputs.call("clerk", {"/token/user": null, "/time/weekday": 7, "/call/model": "gpt-5"}), "rule": "model_not_granted"},
}
