package broker.ordinary_test

import data.broker.denial
import data.broker.fixture_test as fixture
import data.broker.grants
import data.broker.inputs_test as inputs
import data.broker.ordinary
import data.broker.terms

test_decision[name] if {
	some name, case in cases
	inputs.as_expected(case)
}

# What is ordinary is exactly what the table says, and then it is what the other rules would say.
test_ordinary if {
	found := {name |
		some name, case in cases
		seen(case.input, {})
	}
	found == ordinary_cases
}

test_the_other_rules_say_the_same[name] if {
	some name in ordinary_cases
	the_others_agree with input as cases[name].input
		with data.broker.own.denies as {}
		with data.grants as fixture.grants
		with data.roles as fixture.roles
		with data.models as fixture.models
		with data.content as fixture.content
		with data.response as fixture.response
		with data.model_optional as fixture.model_optional
		with data.weekdays as fixture.weekdays
		with data.break_glass as fixture.break_glass
}

test_a_rule_of_ones_own_makes_it_extraordinary if {
	not seen(inputs.call("assistant", {}), {"closed": {"reason": "We are closed.", "changes": []}})
}

seen(document, denies) if {
	ordinary.decision with input as document
		with data.broker.own.denies as denies
		with data.grants as fixture.grants
		with data.roles as fixture.roles
		with data.models as fixture.models
		with data.content as fixture.content
		with data.response as fixture.response
		with data.model_optional as fixture.model_optional
		with data.weekdays as fixture.weekdays
		with data.break_glass as fixture.break_glass
}

the_others_agree if {
	ordinary.decision == terms.allowed(grants.role, denial.judged, "granted", "The subject's role grants this operation and model.")
}

ordinary_cases := {
	"an ordinary call",
	"with a model of a pattern",
	"with a finding that is allowed",
	"a response that is not to be kept",
	"a response that says so itself",
	"a response that may be kept",
}

cases := {
	"an ordinary call": {"input": inputs.call("assistant", {}), "rule": "granted"},
	"with a pinned model": {"input": inputs.call("explorer", {"/call/operation": "edits"}), "rule": "granted"},
	"with a finding that is allowed": {"input": inputs.found("assistant", "pii.email", "low"), "rule": "granted", "expect": {"content": {"pii.email": "allow"}}},
	"with a finding that is blocked": {"input": inputs.found("assistant", "secret.jwt", "low"), "rule": "content_blocked"},
	"with a model of no set": {"input": inputs.call("assistant", {"/call/model": "gpt-5"}), "rule": "model_not_granted"},
	"with a model of a pattern": {"input": inputs.call("explorer", {"/call/model": "gpt-5"}), "rule": "granted"},
	"a listing that names a model": {"input": inputs.call("explorer", {"/call/operation": "models"}), "rule": "granted", "expect": {"models": ["*"]}},
	"without a model": {"input": inputs.call("assistant", {"/call/operation": "moderations", "/call/model": null}), "rule": "granted"},
	"too long an answer": {"input": inputs.sized("assistant", 2097153, {}), "rule": "output_over_cap"},
	"a response that is not to be kept": {"input": inputs.call("assistant", {"/call/operation": "responses"}), "rule": "granted", "expect": {"shape": {"set": {"store": false}}}},
	"a response that says so itself": {"input": inputs.call("assistant", {"/call/operation": "responses", "/call/store": false}), "rule": "granted", "expect": {"shape": {}}},
	"a response that may be kept": {"input": inputs.call("explorer", {"/call/operation": "responses"}), "rule": "granted", "expect": {"shape": {}}},
	"a response that is kept": {"input": inputs.call("explorer", {"/call/operation": "responses", "/call/reaches": ["store"]}), "rule": "granted", "expect": {"shape": {}}},
	"by a role with conditions": {"input": inputs.call("clerk", {}), "rule": "granted"},
	"by a role with a shape": {"input": inputs.call("kiosk", {}), "rule": "granted"},
	"by a stranger": {"input": inputs.call("intruder", {}), "rule": "subject_not_granted"},
}
