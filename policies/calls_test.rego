package broker.calls_test

import data.broker.inputs_test as inputs

test_decision[name] if {
	some name, case in cases
	inputs.as_expected(case)
}

test_a_denied_call_gets_neither_key_nor_limits if {
	every case in cases {
		decision := inputs.decided(case.input, {})
		says_no_more(decision)
	}
}

test_a_call_that_nobody_places_has_no_placement if {
	decision := inputs.decided(ask("assistant", "chat", "gpt-4o"), {})
	decision.allow
	not decision.placement
}

says_no_more(decision) if decision.allow

says_no_more(decision) if {
	object.keys(decision) - {"cache_for"} == {"allow", "rule", "reason", "content", "changes"}
}

cases := {
	"assistant chats": {"input": ask("assistant", "chat", "gpt-4o"), "rule": "granted"},
	"assistant chats with mini": {"input": ask("assistant", "chat", "gpt-4o-mini"), "rule": "granted"},
	"a longer model name": {"input": ask("assistant", "chat", "gpt-4o-audio-preview"), "rule": "model_not_granted"},
	"a dated snapshot": {"input": ask("assistant", "chat", "gpt-4o-2024-08-06"), "rule": "model_not_granted"},
	"an embedding model in a chat": {"input": ask("assistant", "chat", "text-embedding-3-small"), "rule": "model_not_granted"},
	"an empty model name": {"input": ask("assistant", "chat", ""), "rule": "model_not_granted"},
	"assistant completes": {"input": ask("assistant", "completions", "gpt-4o"), "rule": "granted"},
	"an instruct model": {"input": ask("assistant", "completions", "gpt-3.5-turbo-instruct"), "rule": "model_not_granted"},
	"assistant embeds": {"input": ask("assistant", "embeddings", "text-embedding-3-large"), "rule": "granted"},
	"assistant responds": {"input": ask("assistant", "responses", "gpt-4o"), "rule": "granted"},
	"a response whose model upstream picks": {"input": ask("assistant", "responses", null), "rule": "model_not_granted"},
	"assistant moderates without a model": {"input": ask("assistant", "moderations", null), "rule": "granted"},
	"assistant moderates with its model": {"input": ask("assistant", "moderations", "omni-moderation-latest"), "rule": "granted"},
	"a moderation by a chat model": {"input": ask("assistant", "moderations", "gpt-4o"), "rule": "model_not_granted"},
	"assistant gets a model it sees": {"input": ask("assistant", "models.get", "gpt-4o"), "rule": "granted"},
	"assistant gets no other model": {"input": ask("assistant", "models.get", "gpt-5"), "rule": "model_not_granted"},
	"assistant deletes no responses": {"input": ask("assistant", "responses.delete", null), "rule": "operation_not_granted"},
	"batch embeds": {"input": ask("batch", "embeddings", "text-embedding-3-small"), "rule": "granted"},
	"batch does not chat": {"input": ask("batch", "chat", "gpt-4o"), "rule": "operation_not_granted"},
	"batch moderates nothing": {"input": ask("batch", "moderations", null), "rule": "operation_not_granted"},
	"explorer uses any model": {"input": ask("explorer", "chat", "o9-preview"), "rule": "granted"},
	"explorer lets upstream pick": {"input": ask("explorer", "responses", null), "rule": "granted"},
	"explorer deletes responses": {"input": ask("explorer", "responses.delete", null), "rule": "granted"},
	"explorer uploads nothing": {"input": ask("explorer", "files.upload", null), "rule": "operation_not_granted"},
	"operator does not call": {"input": ask("operator", "chat", "gpt-4o"), "rule": "operation_not_granted"},
	"intruder does not call": {"input": ask("intruder", "chat", "gpt-4o"), "rule": "subject_not_granted"},
	"an edit by a retired model is pinned to a chat model": {"input": ask("assistant", "edits", "text-davinci-edit-001"), "rule": "granted", "expect": {"shape": {"model": "gpt-4o-mini"}}},
	"an edit without a model": {"input": ask("explorer", "edits", null), "rule": "granted", "expect": {"shape": {"model": "gpt-4o-mini"}}},
	"a chat is not shaped": {"input": ask("assistant", "chat", "gpt-4o"), "rule": "granted", "expect": {"shape": {}, "content": {}, "credential": "openai", "response": {"cut": ["secret.*"]}, "models": []}},
	"assistant: secret.openai_key is blocked": {"input": found("assistant", ["secret.openai_key"]), "rule": "content_blocked", "expect": {"content": {"secret.openai_key": "block"}}},
	"explorer: secret.aws_access_key is blocked": {"input": found("explorer", ["secret.aws_access_key"]), "rule": "content_blocked", "expect": {"content": {"secret.aws_access_key": "block"}}},
	"assistant: topic.banned is blocked": {"input": found("assistant", ["topic.banned"]), "rule": "content_blocked", "expect": {"content": {"topic.banned": "block"}}},
	"assistant: injection.phrase is blocked": {"input": found("assistant", ["injection.phrase"]), "rule": "content_blocked", "expect": {"content": {"injection.phrase": "block"}}},
	"explorer: injection.phrase is reported": {"input": found("explorer", ["injection.phrase"]), "rule": "granted", "expect": {"content": {"injection.phrase": "allow"}}},
	"explorer: novel.rule is blocked": {"input": found("explorer", ["novel.rule"]), "rule": "content_blocked", "expect": {"content": {"novel.rule": "block"}}},
	"assistant: pii.us_ssn is redacted": {"input": found("assistant", ["pii.us_ssn"]), "rule": "granted", "expect": {"content": {"pii.us_ssn": "redact"}}},
	"explorer: pii.payment_card is redacted": {"input": found("explorer", ["pii.payment_card"]), "rule": "granted", "expect": {"content": {"pii.payment_card": "redact"}}},
	"assistant: pii.iban is redacted": {"input": found("assistant", ["pii.iban"]), "rule": "granted", "expect": {"content": {"pii.iban": "redact"}}},
	"assistant: pii.email is reported": {"input": found("assistant", ["pii.email"]), "rule": "granted", "expect": {"content": {"pii.email": "allow"}}},
	"assistant: pii.phone is reported": {"input": found("assistant", ["pii.phone"]), "rule": "granted", "expect": {"content": {"pii.phone": "allow"}}},
	"one block among others denies": {"input": found("assistant", ["pii.email", "secret.slack_token", "pii.email"]), "rule": "content_blocked", "expect": {"content": {"pii.email": "allow", "secret.slack_token": "block"}}},
	"as long an answer as the cap": {"input": long("assistant", 2097152), "rule": "granted"},
	"too long an answer": {"input": long("assistant", 2097153), "rule": "output_over_cap"},
	"acting for another": {"input": acting("assistant", "spiffe://rules.test/ns/demo/sa/batch"), "rule": "subject_not_granted"},
	"no input": {"input": {}, "rule": "subject_not_granted"},
}

ask(name, operation, model) := call(name, operation, model, [], 1000, [])

found(name, rules) := call(name, "chat", "gpt-4o", rules, 1000, [])

long(name, tokens) := call(name, "chat", "gpt-4o", [], tokens, [])

acting(name, actor) := call(name, "chat", "gpt-4o", [], 1000, [actor])

call(name, operation, model, rules, tokens, actors) := {
	"v": 1,
	"subject": {"id": concat("/", ["spiffe://rules.test/ns/demo/sa", name]), "tenant": "demo", "actor_chain": actors},
	"token": {"id": "tok_1", "scope": [operation], "user": null, "max_tokens": null},
	"call": {
		"operation": operation,
		"model": model,
		"stream": false,
		"user": null,
		"parameters": {"temperature": 0.5},
		"fields": ["messages", "model"],
		"bytes": 100,
		"store": null,
		"purpose": null,
		"reaches": [],
		"references": [],
	},
	"findings": [{"rule": rule, "severity": "high", "location": "messages[0].content"} | some rule in rules],
	"estimate": {"tokens_in": 10, "tokens_out_max": tokens, "cost_micro_usd": 5, "known_model": true},
	"transport": "https",
	"now_ns": 1795000000000000000,
	"time": {"utc": "2026-11-18T10:13Z", "weekday": 3, "clock": "11:13"},
}
