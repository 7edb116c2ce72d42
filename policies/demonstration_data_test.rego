# What the demonstration's data grants, by its own roles: a company replaces this file together with `data.json`.
package broker.demonstration_data_test

import data.broker.inputs_test as inputs

test_decision[name] if {
	some name, case in cases
	inputs.as_decided(case)
}

# A call by one of the demonstration's workloads.
call(name, changes) := json.patch(inputs.call(name, changes), [{
	"op": "add",
	"path": "/subject/id",
	"value": concat("/", ["spiffe://dev.broker/ns/demo/sa", name]),
}])

cases := {
	"the assistant chats": {"input": call("assistant", {}), "rule": "granted"},
	"the assistant has no other model": {"input": call("assistant", {"/call/model": "gpt-5"}), "rule": "model_not_granted"},
	"the batch embeds": {
		"input": call("batch", {"/call/operation": "embeddings", "/call/model": "text-embedding-3-small"}),
		"rule": "granted",
	},
	"the batch does not chat": {"input": call("batch", {}), "rule": "operation_not_granted"},
	"the clerk calls for a user": {"input": call("clerk", {"/token/user": null}), "rule": "user_required"},
	"the explorer uses any model": {"input": call("explorer", {"/call/model": "gpt-5"}), "rule": "granted"},
	"the explorer sends no secret": {
		"input": call("explorer", {"/findings": [{"rule": "secret.jwt", "severity": "high", "location": "messages[0].content"}]}),
		"rule": "content_blocked",
	},
	"the notary is served in the region": {
		"input": call("notary", {}),
		"rule": "granted",
		"expect": {"placement": {"region": "eu", "team": "claims"}},
	},
	"the operator does not call": {"input": call("operator", {}), "rule": "operation_not_granted"},
	"the auditor does not call": {"input": call("auditor", {}), "rule": "operation_not_granted"},
	"the assistant has nothing kept": {
		"input": call("assistant", {"/call/operation": "responses", "/call/reaches": ["store"]}),
		"rule": "reach_not_granted",
	},
	"the explorer keeps what it makes": {
		"input": call("explorer", {"/call/operation": "responses", "/call/reaches": ["store"]}),
		"rule": "granted",
		"expect": {"shape": {}},
	},
	"the explorer reaches no server": {
		"input": call("explorer", {"/call/operation": "responses", "/call/reaches": ["server:mcp.example.org", "tool:mcp"]}),
		"rule": "reach_not_granted",
	},
	"an intruder is nobody": {"input": call("intruder", {}), "rule": "subject_not_granted"},
}
