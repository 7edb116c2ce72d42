# Input documents for the tables of the other tests. A table is `cases`: a name, an input, the `rule` that decides,
# and what is expected of the decision. OPA runs them as tests, and the embedded engine is given the same tables.
package broker.inputs_test

import data.broker.calls

id(name) := concat("/", ["spiffe://dev.broker/ns/demo/sa", name])

# A chat, on a Tuesday at 11:43, by a user the token names; each change is a path and the value there.
call(name, changes) := json.patch(
	{
		"v": 1,
		"subject": {"id": id(name), "tenant": "demo", "actor_chain": []},
		"token": {"id": "tok_1", "scope": ["chat"], "user": "carol", "max_tokens": null},
		"call": {
			"operation": "chat",
			"model": "gpt-4o",
			"stream": false,
			"user": null,
			"parameters": {},
			"fields": ["messages", "model"],
			"bytes": 100,
			"purpose": null,
			"reaches": [],
			"references": [],
		},
		"findings": [],
		"estimate": {"tokens_in": 10, "tokens_out_max": 1000, "cost_micro_usd": 5, "known_model": true},
		"transport": "https",
		"now_ns": 1795517000000000000,
		"time": {"utc": "2026-11-24T10:43Z", "weekday": 2, "clock": "11:43"},
	},
	[{"op": "add", "path": path, "value": value} | value := changes[path]],
)

# A call that can produce as many tokens as its parameters say.
sized(name, tokens, parameters) := call(name, {"/estimate/tokens_out_max": tokens, "/call/parameters": parameters})

at(name, weekday, clock) := call(name, {"/time/weekday": weekday, "/time/clock": clock})

found(name, rule, severity) := call(name, {"/findings": [{
	"rule": rule,
	"severity": severity,
	"location": "messages[0].content",
}]})

# Whether the decision of one case is as its table says.
as_expected(case) if {
	decision := calls.decision with input as case.input
	decision.rule == case.rule
	decision.allow == granting(case.rule)
	every field, value in object.get(case, "expect", {}) {
		decision[field] == value
	}
}

granting(rule) if rule in {"granted", "break_glass"}

granting(rule) := false if not rule in {"granted", "break_glass"}
