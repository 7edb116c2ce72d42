package broker.reach_test

import data.broker.inputs_test as inputs

test_decision[name] if {
	some name, case in cases
	inputs.as_expected(case)
}

reaching(name, operation, words) := inputs.call(name, {"/call/operation": operation, "/call/reaches": words})

denied(words) := {"changes": [{"field": "call", "must": "absent", "values": words}]}

cases := {
	"a role that names nothing keeps no response": {"input": reaching("assistant", "responses", []), "rule": "granted", "expect": {"shape": {"set": {"store": false}}}},
	"what the call itself does not have kept is left alone": {"input": inputs.call("assistant", {"/call/operation": "responses", "/call/store": false}), "rule": "granted", "expect": {"shape": {}}},
	"a chat is kept by nobody who does not ask": {"input": reaching("assistant", "chat", []), "rule": "granted", "expect": {"shape": {}}},
	"a role with a shape": {"input": inputs.call("clerk", {"/call/operation": "responses", "/call/parameters": {"max_output_tokens": 100}}), "rule": "granted", "expect": {"shape": {
		"set": {"user": "carol", "store": false},
		"remove": ["logit_bias"],
		"model": "gpt-4o-2024-08-06",
	}}},
	"a role that may have it kept": {"input": reaching("explorer", "responses", []), "rule": "granted", "expect": {"shape": {}}},
	"asked to keep it": {"input": reaching("explorer", "responses", ["store"]), "rule": "granted"},
	"asked to keep a chat": {"input": reaching("assistant", "chat", ["store"]), "rule": "reach_not_granted", "expect": denied(["store"])},
	"in the background": {"input": reaching("assistant", "responses", ["background"]), "rule": "reach_not_granted", "expect": denied(["background"])},
	"a tool of a pattern": {"input": reaching("explorer", "responses", ["tool:web_search_preview"]), "rule": "granted"},
	"a tool and its server": {"input": reaching("explorer", "responses", ["server:mcp.example.org", "tool:mcp"]), "rule": "reach_not_granted", "expect": denied(["server:mcp.example.org", "tool:mcp"])},
	"patterns of three stars": {"input": reaching("stripped", "chat", ["server:eu.mcp.a.example.org", "server:xonex", "server:two"]), "rule": "granted"},
	"patterns of three stars, in another order": {"input": reaching("stripped", "chat", ["server:a.example.eu.mcp.org", "server:tow"]), "rule": "reach_not_granted", "expect": denied(["server:a.example.eu.mcp.org", "server:tow"])},
	"one of two": {"input": reaching("explorer", "responses", ["model:gpt-image-1", "store"]), "rule": "reach_not_granted", "expect": denied(["model:gpt-image-1"])},
	"what an emergency's role does not name": {"input": inputs.call("clerk", {"/call/model": "gpt-5", "/call/purpose": "the claims site is down", "/call/reaches": ["store"]}), "rule": "model_not_granted"},
	"an input from before there was such a field": {"input": json.patch(inputs.call("assistant", {}), [{"op": "remove", "path": "/call/reaches"}]), "rule": "granted"},
}
