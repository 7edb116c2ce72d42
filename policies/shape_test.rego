package broker.shape_test

import data.broker.inputs_test as inputs

test_decision[name] if {
	some name, case in cases
	inputs.as_expected(case)
}

shaped(operation, model, parameters) := inputs.call("clerk", {
	"/call/operation": operation,
	"/call/model": model,
	"/call/parameters": parameters,
	"/estimate/tokens_out_max": 8000,
})

cases := {
	"nothing to shape": {"input": inputs.call("assistant", {}), "rule": "granted", "expect": {"shape": {}}},
	"the model of an edit": {"input": inputs.call("assistant", {"/call/operation": "edits"}), "rule": "granted", "expect": {"shape": {"model": "gpt-4o-mini"}}},
	"an alias, a default that is too large, the token's user": {"input": shaped("chat", "gpt-4o", {}), "rule": "granted", "expect": {"shape": {
		"set": {"max_completion_tokens": 1024, "user": "carol"},
		"remove": ["logit_bias"],
		"model": "gpt-4o-2024-08-06",
	}}},
	"a model without an alias": {"input": shaped("chat", "gpt-4o-mini", {"max_tokens": 100}), "rule": "granted", "expect": {"shape": {
		"set": {"user": "carol"},
		"remove": ["logit_bias"],
		"model": null,
	}}},
	"the name that the call carries": {"input": shaped("chat", "gpt-4o-mini", {"max_tokens": 2000}), "rule": "granted", "expect": {"shape": {
		"set": {"max_tokens": 1024, "user": "carol"},
		"remove": ["logit_bias"],
		"model": null,
	}}},
	"another field that is capped": {"input": inputs.call("kiosk", {"/call/parameters": {"max_tokens": 100, "n": 3, "temperature": 1}, "/token/user": null}), "rule": "granted", "expect": {"shape": {"set": {"n": 1, "user": inputs.id("kiosk")}, "remove": [], "model": null}}},
	"the default of completions is small": {"input": shaped("completions", "gpt-4o-mini", {}), "rule": "granted", "expect": {"shape": {"set": {"user": "carol"}, "remove": ["logit_bias"], "model": null}}},
	"the field of responses": {"input": shaped("responses", "gpt-4o-mini", {"max_output_tokens": 4096}), "rule": "granted", "expect": {"shape": {"set": {"max_output_tokens": 1024, "store": false, "user": "carol"}, "remove": ["logit_bias"], "model": null}}},
	"no field for embeddings": {"input": shaped("embeddings", "text-embedding-3-small", {}), "rule": "granted", "expect": {"shape": {"set": {"user": "carol"}, "remove": ["logit_bias"], "model": null}}},
	"a pin goes before an alias, and an edit is capped as a chat": {"input": shaped("edits", "gpt-4o", {}), "rule": "granted", "expect": {"shape": {"set": {"max_completion_tokens": 1024, "user": "carol"}, "remove": ["logit_bias"], "model": "gpt-4o-mini"}}},
	"a listing has no user": {"input": shaped("models", null, {}), "rule": "granted", "expect": {"shape": {"set": {}, "remove": ["logit_bias"], "model": null}}},
}
