package broker.break_glass_test

import data.broker.inputs_test as inputs

test_decision[name] if {
	some name, case in cases
	inputs.as_expected(case)
}

# The clerk's duty officer approved the role `incident` until 2026-11-24 18:00 UTC: any model, no windows.
broken(changes) := inputs.call("clerk", {path: value |
	some path in (object.keys(given) | object.keys(changes))
	value := object.get(changes, path, object.get(given, path, null))
})

given := {"/call/model": "gpt-5", "/call/purpose": "the claims site is down"}

cases := {
	"the glass is broken": {"input": broken({}), "rule": "break_glass", "expect": {
		"alert": "Break-glass role incident used; approved by security-duty until 2026-11-24T18:00Z.",
		"shape": {},
		"account": inputs.id("clerk"),
		"limits": {
			"requests/minute": {"unit": "requests", "cap": 60, "window_seconds": 60},
			"spend/day": {"unit": "micro_usd", "cap": 20000000, "window_seconds": 86400},
		},
	}},
	"the ordinary role would do": {"input": broken({"/call/model": "gpt-4o"}), "rule": "granted"},
	"without a reason": {"input": broken({"/call/purpose": null}), "rule": "model_not_granted"},
	"with a reason too short": {"input": broken({"/call/purpose": "because"}), "rule": "model_not_granted"},
	"in the last minute": {"input": broken({"/time/utc": "2026-11-24T17:59Z"}), "rule": "break_glass"},
	"when it is over": {"input": broken({"/time/utc": "2026-11-24T18:00Z"}), "rule": "model_not_granted"},
	"at no time": {"input": broken({"/time": {}}), "rule": "model_not_granted"},
	"not for content": {"input": broken({"/findings": [{"rule": "secret.jwt", "severity": "high", "location": "messages[0].content"}]}), "rule": "model_not_granted"},
	"not for what the ordinary role blocks": {"input": broken({"/call/model": "gpt-4o", "/findings": [{"rule": "secret.jwt", "severity": "high", "location": "messages[0].content"}]}), "rule": "content_blocked"},
	"not for what the role for the emergency blocks": {"input": broken({"/findings": [{"rule": "topic.banned", "severity": "low", "location": "messages[0].content"}]}), "rule": "model_not_granted"},
	"not for what that role has not": {"input": broken({"/call/operation": "models.delete"}), "rule": "operation_not_granted"},
	"acting for another": {"input": broken({"/subject/actor_chain": [inputs.id("batch")]}), "rule": "subject_not_granted"},
	"another subject": {"input": inputs.call("assistant", {"/call/model": "gpt-5", "/call/purpose": "the claims site is down"}), "rule": "model_not_granted"},
}
