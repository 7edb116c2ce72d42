# Input documents for the tables of the other tests. A table is `cases`: a name, an input, the `rule` that decides,
# and what is expected of the decision. OPA runs them as tests, and the embedded engine is given the same tables.
# What a table is judged with is told by its file: `own/<name>_test.rego` by the fixture and your own rules,
# `<name>_data_test.rego` by the folder's data, any other by the fixture and the shipped rules alone.
package broker.inputs_test

import data.broker.calls
import data.broker.fixture_test as fixture

id(name) := concat("/", ["spiffe://rules.test/ns/demo/sa", name])

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
			"store": null,
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

# What the shipped rules say of an input, with the fixture for data, where rules of your own would say `denies`.
decided(document, denies) := answer if {
	answer := ruling(document) with data.broker.own.denies as denies
		with data.grants as fixture.grants
		with data.roles as fixture.roles
		with data.models as fixture.models
		with data.content as fixture.content
		with data.response as fixture.response
		with data.model_optional as fixture.model_optional
		with data.weekdays as fixture.weekdays
		with data.break_glass as fixture.break_glass
}

explained(document) := answer if {
	answer := calls.explanation with input as document
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

# Whether the decision of one case is as its table says: by the shipped rules;
as_expected(case) if {
	with_own(case) with data.broker.own.denies as {}
}

# by your own rules beside them;
with_own(case) if {
	as_decided(case) with data.grants as fixture.grants
		with data.teams as fixture.teams
		with data.roles as fixture.roles
		with data.models as fixture.models
		with data.content as fixture.content
		with data.response as fixture.response
		with data.model_optional as fixture.model_optional
		with data.weekdays as fixture.weekdays
		with data.break_glass as fixture.break_glass
}

# by your own rules and the folder's data.
as_decided(case) if agrees(ruling(case.input), case)

ruling(document) := answer if {
	answer := calls.decision with input as document
}

agrees(decision, case) if {
	decision.rule == case.rule
	decision.allow == granting(case.rule)
	every field, value in object.get(case, "expect", {}) {
		decision[field] == value
	}
}

granting(rule) if rule in {"granted", "break_glass"}

granting(rule) := false if not rule in {"granted", "break_glass"}
