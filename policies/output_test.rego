package broker.output_test

import data.broker.inputs_test as inputs

test_decision[name] if {
	some name, case in cases
	inputs.as_expected(case)
}

# The clerk's role: 8192 tokens in all, at most 4 answers, each capped to 1024 tokens.
cases := {
	"as much as the role may": {"input": inputs.sized("clerk", 8192, {"max_completion_tokens": 4096, "n": 2}), "rule": "granted"},
	"more, which the cap makes less": {"input": inputs.sized("clerk", 16384, {"max_completion_tokens": 4096, "n": 4}), "rule": "granted"},
	"nothing named, which the cap makes less": {"input": inputs.sized("clerk", 16384, {}), "rule": "granted"},
	"several prompts": {"input": inputs.call("clerk", {"/call/operation": "completions", "/call/parameters": {"max_tokens": 1000, "n": 2}, "/estimate/tokens_out_max": 20000}), "rule": "output_over_cap"},
	"several prompts that stay below": {"input": inputs.call("clerk", {"/call/operation": "completions", "/call/parameters": {"max_tokens": 2000, "best_of": 2}, "/estimate/tokens_out_max": 16000}), "rule": "granted"},
	"sixteen tokens a prompt, by default": {"input": inputs.call("clerk", {"/call/operation": "completions", "/estimate/tokens_out_max": 9600}), "rule": "output_over_cap", "expect": {"changes": [{"field": "max_tokens", "must": "at_most", "values": ["13"]}]}},
	"both names of a chat's bound": {"input": inputs.sized("assistant", 4194304, {"max_completion_tokens": 2097152, "max_tokens": 1000000, "n": 2}), "rule": "output_over_cap", "expect": {"changes": [{"field": "max_completion_tokens", "must": "at_most", "values": ["1048576"]}]}},
	"the older name is the larger": {"input": inputs.sized("assistant", 4194304, {"max_completion_tokens": 1000000, "max_tokens": 2097152, "n": 2}), "rule": "output_over_cap", "expect": {"changes": [{"field": "max_tokens", "must": "at_most", "values": ["1048576"]}]}},
	"an operation that knows no bound": {"input": inputs.call("clerk", {"/call/operation": "embeddings", "/call/model": "text-embedding-3-small", "/estimate/tokens_out_max": 9000}), "rule": "output_over_cap", "expect": {"changes": []}},
	"more prompts than tokens": {"input": inputs.call("clerk", {"/call/operation": "completions", "/estimate/tokens_out_max": 160000}), "rule": "output_over_cap", "expect": {"changes": []}},
	"nothing named": {"input": inputs.sized("assistant", 4194304, {"n": 2}), "rule": "output_over_cap", "expect": {"changes": [{"field": "max_completion_tokens", "must": "at_most", "values": ["1048576"]}]}},
	"no tokens asked, many expected": {"input": inputs.sized("assistant", 4194304, {"max_tokens": 0}), "rule": "output_over_cap", "expect": {"changes": []}},
}
