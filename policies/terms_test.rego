package broker.terms_test

import data.broker.inputs_test as inputs

test_decision[name] if {
	some name, case in cases
	inputs.as_expected(case)
}

listing(name) := inputs.call(name, {"/call/operation": "models", "/call/model": null})

cases := {
	"a listing shows what get gives": {"input": listing("assistant"), "rule": "granted", "expect": {"models": ["gpt-4o", "gpt-4o-mini", "omni-moderation-latest", "text-embedding-3-large", "text-embedding-3-small"]}},
	"a listing shows everything to the explorer": {"input": listing("explorer"), "rule": "granted", "expect": {"models": ["*"]}},
	"a listing for a role that gets none": {"input": listing("kiosk"), "rule": "granted", "expect": {"models": []}},
	"another call lists nothing": {"input": inputs.call("clerk", {}), "rule": "granted", "expect": {"models": []}},
	"replies as the role says": {"input": inputs.call("clerk", {}), "rule": "granted", "expect": {"response": {"cut": ["secret.*"], "redact": ["pii.*"]}}},
	"replies as for everybody": {"input": inputs.call("kiosk", {}), "rule": "granted", "expect": {"response": {"cut": ["secret.*"]}}},
	"how long it may be kept": {"input": inputs.call("clerk", {}), "rule": "granted", "expect": {"cache_for": 5}},
	"a denial is kept as long": {"input": inputs.call("clerk", {"/call/model": "gpt-5"}), "rule": "model_not_granted", "expect": {"cache_for": 5}},
	"the account of the subject": {"input": inputs.call("kiosk", {}), "rule": "granted", "expect": {"account": inputs.id("kiosk"), "credential": "openai"}},
}
