package broker.changes_test

import data.broker.inputs_test as inputs

test_decision[name] if {
	some name, case in cases
	inputs.as_expected(case)
}

cases := {
	"another model": {"input": inputs.call("assistant", {"/call/model": "gpt-5"}), "rule": "model_not_granted", "expect": {"changes": [
		{"field": "model", "must": "one_of", "values": ["gpt-4o", "gpt-4o-mini"]},
	]}},
	"an operation with this model": {"input": inputs.call("batch", {"/call/model": "text-embedding-3-small"}), "rule": "operation_not_granted", "expect": {"changes": [
		{"field": "operation", "must": "one_of", "values": ["embeddings"]},
	]}},
	"an operation that needs no model": {"input": inputs.call("assistant", {"/call/operation": "chat.list", "/call/model": null}), "rule": "operation_not_granted", "expect": {"changes": [
		{"field": "operation", "must": "one_of", "values": ["edits", "models", "moderations"]},
	]}},
	"an operation with another model": {"input": inputs.call("batch", {}), "rule": "operation_not_granted", "expect": {"changes": [
		{"field": "operation", "must": "one_of", "values": ["embeddings"]},
		{"field": "model", "must": "one_of", "values": ["text-embedding-3-large", "text-embedding-3-small"]},
	]}},
	"nothing is granted": {"input": inputs.call("operator", {}), "rule": "operation_not_granted", "expect": {"changes": []}},
	"a stranger": {"input": inputs.call("intruder", {}), "rule": "subject_not_granted", "expect": {"changes": []}},
	"a user": {"input": inputs.call("clerk", {"/token/user": null}), "rule": "user_required", "expect": {"changes": [
		{"field": "user", "must": "present", "values": []},
	]}},
	"another time": {"input": inputs.at("clerk", 7, "11:00"), "rule": "outside_window", "expect": {"changes": [
		{"field": "time", "must": "during", "values": ["Mon, Tue, Wed, Thu, Fri 08:00-18:00", "Sat 09:00-12:00"]},
	]}},
	"each parameter that is over its ceiling": {"input": inputs.sized("clerk", 5000, {"max_tokens": 5000, "temperature": 2, "n": 1}), "rule": "parameter_over_ceiling", "expect": {"changes": [
		{"field": "max_tokens", "must": "at_most", "values": ["4096"]},
		{"field": "temperature", "must": "at_most", "values": ["1.5"]},
	]}},
	"the lower of two bounds": {"input": inputs.call("clerk", {"/call/operation": "completions", "/call/parameters": {"max_tokens": 5000}, "/estimate/tokens_out_max": 50000}), "rule": "parameter_over_ceiling", "expect": {"changes": [
		{"field": "max_tokens", "must": "at_most", "values": ["819"]},
	]}},
	"content": {
		"input": inputs.call("assistant", {"/findings": [
			{"rule": "secret.jwt", "severity": "high", "location": "messages[0].content"},
			{"rule": "pii.email", "severity": "low", "location": "messages[1].content"},
		]}),
		"rule": "content_blocked", "expect": {"changes": [
			{"field": "content", "must": "absent", "values": ["secret.jwt"]},
		]},
	},
	"all at once": {
		"input": inputs.call("clerk", {
			"/call/model": "gpt-5",
			"/call/parameters": {"n": 9},
			"/token/user": null,
			"/time": {"utc": "2026-11-29T10:43Z", "weekday": 7, "clock": "11:43"},
			"/findings": [{"rule": "secret.jwt", "severity": "high", "location": "messages[0].content"}],
		}),
		"rule": "model_not_granted", "expect": {"changes": [
			{"field": "model", "must": "one_of", "values": ["gpt-4o", "gpt-4o-mini"]},
			{"field": "user", "must": "present", "values": []},
			{"field": "time", "must": "during", "values": ["Mon, Tue, Wed, Thu, Fri 08:00-18:00", "Sat 09:00-12:00"]},
			{"field": "n", "must": "at_most", "values": ["4"]},
			{"field": "content", "must": "absent", "values": ["secret.jwt"]},
		]},
	},
}
