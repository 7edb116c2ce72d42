package broker.bounds_test

import data.broker.inputs_test as inputs

test_decision[name] if {
	some name, case in cases
	inputs.as_expected(case)
}

asked(operation, changes) := inputs.call("modest", object.union({"/call/operation": operation}, changes))

# What the modest's shape sets: the role has ceilings and no caps.
sends(fields) := {"shape": {"set": fields, "remove": [], "model": null}}

penalties := {"frequency_penalty": -0.5, "presence_penalty": -1.5}

sampling := {"temperature": 0.5, "top_p": 0.9}

cases := {
	"a chat that names nothing": {"input": asked("chat", {"/estimate/tokens_out_max": 16384}), "rule": "granted", "expect": sends(object.union(object.union(penalties, sampling), {"max_completion_tokens": 1000}))},
	"a chat whose token lets it have less": {"input": asked("chat", {"/estimate/tokens_out_max": 900}), "rule": "granted", "expect": sends(object.union(penalties, sampling))},
	"a chat that names all of it": {"input": asked("chat", {"/call/parameters": {"max_tokens": 1000, "temperature": 0.5, "top_p": 0, "frequency_penalty": -2, "presence_penalty": -1.5, "n": 2}, "/estimate/tokens_out_max": 2000}), "rule": "granted", "expect": sends({})},
	"a chat that names one": {"input": asked("chat", {"/call/parameters": {"max_tokens": 10, "temperature": 0}, "/estimate/tokens_out_max": 10}), "rule": "granted", "expect": sends(object.union(penalties, {"top_p": 0.9}))},
	"a chat that names more": {"input": asked("chat", {"/call/parameters": {"max_tokens": 1001}, "/estimate/tokens_out_max": 1001}), "rule": "parameter_over_ceiling"},
	"completions, whose default is small": {"input": asked("completions", {"/estimate/tokens_out_max": 16}), "rule": "granted", "expect": sends(object.union(penalties, sampling))},
	"a response that names nothing": {"input": asked("responses", {"/call/store": false, "/estimate/tokens_out_max": 16384}), "rule": "granted", "expect": sends(object.union(sampling, {"max_output_tokens": 1000}))},
	"a response by the name of a chat's bound": {"input": asked("responses", {"/call/store": false, "/call/parameters": {"max_tokens": 5}, "/estimate/tokens_out_max": 16384}), "rule": "granted", "expect": sends(object.union(sampling, {"max_output_tokens": 1000}))},
	"a response that brings tools": {"input": asked("responses", {"/call/fields": ["input", "tools"], "/call/store": false, "/call/parameters": {"max_output_tokens": 9}, "/estimate/tokens_out_max": 9}), "rule": "granted", "expect": sends(object.union(sampling, {"max_tool_calls": 3}))},
	"a response whose prompt may bring tools": {"input": asked("responses", {"/call/fields": ["prompt"], "/call/store": false, "/call/parameters": {"max_output_tokens": 9}, "/estimate/tokens_out_max": 9}), "rule": "granted", "expect": sends(object.union(sampling, {"max_tool_calls": 3}))},
	"an edit": {"input": asked("edits", {"/estimate/tokens_out_max": 16384}), "rule": "granted", "expect": {"shape": {"set": object.union(sampling, {"max_completion_tokens": 1000}), "remove": [], "model": "gpt-4o-mini"}}},
	"an embedding that is larger by itself": {"input": asked("embeddings", {"/call/model": "text-embedding-3-large", "/estimate/tokens_out_max": 0}), "rule": "granted", "expect": sends({"dimensions": 2000})},
	"an embedding that is small": {"input": asked("embeddings", {"/call/model": "text-embedding-3-small", "/estimate/tokens_out_max": 0}), "rule": "granted", "expect": sends({})},
	"an embedding that nobody knows": {"input": asked("embeddings", {"/call/model": "text-embedding-3-new", "/estimate/tokens_out_max": 0}), "rule": "granted", "expect": sends({"dimensions": 2000})},
	"an embedding that names its size": {"input": asked("embeddings", {"/call/model": "text-embedding-3-large", "/call/parameters": {"dimensions": 256}, "/estimate/tokens_out_max": 0}), "rule": "granted", "expect": sends({})},
	"a bound that is stripped is not told": {"input": inputs.call("stripped", {"/call/parameters": {"max_tokens": 5, "temperature": 0.1}}), "rule": "granted", "expect": {"shape": {"set": {"temperature": 0.5}, "remove": ["temperature"], "model": null}}},
	"the lower of ceiling and cap": {"input": inputs.call("stripped", {"/estimate/tokens_out_max": 16384}), "rule": "granted", "expect": {"shape": {"set": {"max_completion_tokens": 700, "temperature": 0.5}, "remove": ["temperature"], "model": null}}},
	"a pin keeps what the role may not have stored": {"input": inputs.call("pinned", {"/call/operation": "responses"}), "rule": "granted", "expect": {"shape": {"set": {"store": false}, "remove": [], "model": "gpt-4o-mini"}}},
}
