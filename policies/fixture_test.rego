# The data that the tables of the rules are judged with: one role for each thing that a role can say. The folder's own
# data plays no part in them, so that they hold whatever a company grants; tests of the data are `*_data_test.rego`.
package broker.fixture_test

grants := {
	"spiffe://rules.test/ns/demo/sa/archive": {"role": "archive"},
	"spiffe://rules.test/ns/demo/sa/assistant": {"role": "assistant"},
	"spiffe://rules.test/ns/demo/sa/auditor": {"role": "auditor"},
	"spiffe://rules.test/ns/demo/sa/batch": {"role": "batch"},
	"spiffe://rules.test/ns/demo/sa/clerk": {"role": "clerk", "team": "claims"},
	"spiffe://rules.test/ns/demo/sa/embassy": {"role": "resident", "placement": {"region": "us", "team": "consulate"}},
	"spiffe://rules.test/ns/demo/sa/explorer": {"role": "explorer"},
	"spiffe://rules.test/ns/demo/sa/kiosk": {"role": "kiosk"},
	"spiffe://rules.test/ns/demo/sa/night": {"role": "clerk", "users": {"exact": {"nadia": true}, "patterns": []}},
	"spiffe://rules.test/ns/demo/sa/notary": {"role": "resident", "team": "claims", "placement": {"team": "claims"}},
	"spiffe://rules.test/ns/demo/sa/operator": {"role": "operator"},
	"spiffe://rules.test/ns/demo/sa/registry": {"role": "resident"},
	"spiffe://rules.test/ns/demo/sa/shared": {"role": "shared", "team": "claims"},
	"spiffe://rules.test/ns/demo/sa/teamless": {"role": "shared"},
}

teams := {"claims": {}, "consulate": {}}

roles := {
	"archive": {
		"operations": {"chat": "gpt-4o", "responses": "gpt-4o"},
		"pins": {},
		"max_output_tokens": 16384,
		"content": "standard",
		"limits": {"requests/minute": {"unit": "requests", "cap": 600, "window_seconds": 60}},
		"credential": "openai",
		"reaches": {"exact": {"store": true}, "patterns": []},
		"objects": {"owner": "user", "lent": {"pmpt_1": true, "vs_1": true}, "unseen_tokens": 20000},
		"token": {"default_seconds": 300, "max_seconds": 900},
		"admin": {},
	},
	"shared": {
		"operations": {"chat": "gpt-4o", "responses": "gpt-4o"},
		"pins": {},
		"max_output_tokens": 16384,
		"content": "standard",
		"limits": {"requests/minute": {"unit": "requests", "cap": 600, "window_seconds": 60}},
		"credential": "openai",
		"reaches": {"exact": {"store": true}, "patterns": []},
		"objects": {"owner": "team"},
		"token": {"default_seconds": 300, "max_seconds": 900},
		"admin": {},
	},
	"assistant": {
		"operations": {
			"chat": "gpt-4o",
			"completions": "gpt-4o",
			"edits": "any",
			"embeddings": "embedding-3",
			"models": "any",
			"models.get": "assistant-visible",
			"moderations": "moderation",
			"responses": "gpt-4o",
		},
		"pins": {"edits": "gpt-4o-mini"},
		"max_output_tokens": 2097152,
		"content": "standard",
		"limits": {
			"requests/minute": {"unit": "requests", "cap": 60000, "window_seconds": 60},
			"tokens/minute": {"unit": "tokens", "cap": 20000000, "window_seconds": 60},
			"spend/day": {"unit": "micro_usd", "cap": 1000000000, "window_seconds": 86400},
		},
		"credential": "openai",
		"token": {
			"default_seconds": 300,
			"max_seconds": 3600,
			"users": {"exact": {}, "patterns": ["*"]},
		},
		"admin": {},
	},
	"batch": {
		"operations": {"embeddings": "embedding-3"},
		"pins": {},
		"max_output_tokens": 2097152,
		"content": "standard",
		"limits": {
			"requests/minute": {"unit": "requests", "cap": 30000, "window_seconds": 60},
			"tokens/minute": {"unit": "tokens", "cap": 50000000, "window_seconds": 60},
			"spend/day": {"unit": "micro_usd", "cap": 100000000, "window_seconds": 86400},
		},
		"credential": "openai",
		"token": {"default_seconds": 300, "max_seconds": 3600},
		"admin": {},
	},
	"explorer": {
		"operations": {
			"chat": "any",
			"chat.delete": "any",
			"chat.get": "any",
			"chat.list": "any",
			"chat.messages": "any",
			"chat.update": "any",
			"completions": "any",
			"edits": "any",
			"embeddings": "any",
			"models": "any",
			"models.delete": "any",
			"models.get": "any",
			"moderations": "any",
			"responses": "any",
			"responses.cancel": "any",
			"responses.compact": "any",
			"responses.delete": "any",
			"responses.get": "any",
			"responses.input_items": "any",
			"responses.input_tokens": "any",
		},
		"pins": {"edits": "gpt-4o-mini"},
		"max_output_tokens": 1000000000,
		"content": "research",
		"reaches": {"exact": {"background": true, "store": true}, "patterns": ["tool:web_search*"]},
		"limits": {
			"requests/minute": {"unit": "requests", "cap": 10000000, "window_seconds": 60},
			"tokens/minute": {"unit": "tokens", "cap": 100000000000, "window_seconds": 60},
			"spend/day": {"unit": "micro_usd", "cap": 1000000000000, "window_seconds": 86400},
		},
		"credential": "openai",
		"token": {
			"default_seconds": 300,
			"max_seconds": 3600,
			"users": {"exact": {}, "patterns": ["*"]},
		},
		"admin": {},
	},
	"operator": {
		"operations": {},
		"token": {"default_seconds": 300, "max_seconds": 3600},
		"admin": {
			"audit.checkpoint": true,
			"token.introspect": true,
			"token.revoke": true,
			"policy.explain": true,
			"policy.read": true,
			"policy.shadow": true,
		},
	},
	"auditor": {
		"operations": {},
		"token": {"default_seconds": 300, "max_seconds": 3600},
		"admin": {
			"audit.checkpoint": true,
			"audit.read": true,
			"policy.explain": true,
			"policy.read": true,
		},
	},
	"clerk": {
		"operations": {
			"chat": "gpt-4o",
			"completions": "gpt-4o",
			"edits": "any",
			"embeddings": "embedding-3",
			"models": "any",
			"models.get": "assistant-visible",
			"responses": "gpt-4o",
		},
		"pins": {"edits": "gpt-4o-mini"},
		"max_output_tokens": 8192,
		"content": "by-severity",
		"limits": {"requests/minute": {"unit": "requests", "cap": 600, "window_seconds": 60}},
		"limits_by": {
			"team": {"spend/day": {"unit": "micro_usd", "cap": 50000000, "window_seconds": 86400}},
			"user": {"tokens/day": {"unit": "tokens", "cap": 200000, "window_seconds": 86400}},
		},
		"credential": "openai",
		"requires": {
			"user": true,
			"windows": [
				{"days": [1, 2, 3, 4, 5], "from": "08:00", "to": "18:00"},
				{"days": [6], "from": "09:00", "to": "12:00"},
			],
			"ceilings": {"max_tokens": 4096, "n": 4, "temperature": 1.5},
		},
		"shape": {
			"force_user": true,
			"caps": {"max_tokens": 1024, "n": 4},
			"aliases": {"gpt-4o": "gpt-4o-2024-08-06"},
			"strip": ["logit_bias"],
		},
		"response": {"cut": ["secret.*"], "redact": ["pii.*"]},
		"cache_for": 5,
		"token": {
			"default_seconds": 300,
			"max_seconds": 900,
			"users": {"exact": {"carol": true}, "patterns": ["claims-*"]},
		},
		"admin": {},
	},
	"kiosk": {
		"operations": {"chat": "gpt-4o", "models": "any"},
		"pins": {},
		"max_output_tokens": 4096,
		"content": "by-severity",
		"limits": {"requests/minute": {"unit": "requests", "cap": 60, "window_seconds": 60}},
		"limits_by": {
			"user": {"spend/day": {"unit": "micro_usd", "cap": 1000000, "window_seconds": 86400}},
		},
		"credential": "openai",
		"shape": {"force_user": true, "caps": {"max_tokens": 512, "n": 1}},
		"token": {"default_seconds": 60, "max_seconds": 300},
		"admin": {},
	},
	"resident": {
		"operations": {"chat": "gpt-4o", "responses": "gpt-4o"},
		"pins": {},
		"max_output_tokens": 16384,
		"content": "standard",
		"limits": {"requests/minute": {"unit": "requests", "cap": 600, "window_seconds": 60}},
		"credential": "openai",
		"placement": {"region": "eu"},
		"token": {"default_seconds": 300, "max_seconds": 900},
		"admin": {},
	},
	"incident": {
		"operations": {"chat": "any", "responses": "any"},
		"pins": {},
		"max_output_tokens": 100000,
		"content": "standard",
		"limits": {
			"requests/minute": {"unit": "requests", "cap": 60, "window_seconds": 60},
			"spend/day": {"unit": "micro_usd", "cap": 20000000, "window_seconds": 86400},
		},
		"credential": "openai",
		"token": {"default_seconds": 300, "max_seconds": 300},
		"admin": {},
	},
}

models := {
	"any": {"exact": {}, "patterns": ["*"]},
	"assistant-visible": {
		"exact": {
			"gpt-4o": true,
			"gpt-4o-mini": true,
			"omni-moderation-latest": true,
			"text-embedding-3-large": true,
			"text-embedding-3-small": true,
		},
		"patterns": [],
	},
	"embedding-3": {
		"exact": {"text-embedding-3-large": true, "text-embedding-3-small": true},
		"patterns": [],
	},
	"gpt-4o": {"exact": {"gpt-4o": true, "gpt-4o-mini": true}, "patterns": []},
	"moderation": {"exact": {"omni-moderation-latest": true}, "patterns": []},
}

content := {
	"by-severity": {
		"pii": "redact",
		"severity:high": "block",
		"severity:low": "allow",
		"severity:medium": "redact",
	},
	"research": {
		"injection": "allow",
		"pii": "allow",
		"pii.iban": "redact",
		"pii.payment_card": "redact",
		"pii.us_ssn": "redact",
		"secret": "block",
		"topic": "block",
	},
	"standard": {
		"injection": "block",
		"pii": "allow",
		"pii.iban": "redact",
		"pii.payment_card": "redact",
		"pii.us_ssn": "redact",
		"secret": "block",
		"topic": "block",
	},
}

response := {
	"cut": ["secret.*"],
}

model_optional := {
	"models": true,
	"moderations": true,
}

weekdays := {
	"1": "Mon",
	"2": "Tue",
	"3": "Wed",
	"4": "Thu",
	"5": "Fri",
	"6": "Sat",
	"7": "Sun",
}

break_glass := {
	"spiffe://rules.test/ns/demo/sa/clerk": {"role": "incident", "until": "2026-11-24T18:00Z", "approved_by": "security-duty"},
	"spiffe://rules.test/ns/demo/sa/embassy": {"role": "incident", "until": "2026-11-24T18:00Z", "approved_by": "security-duty"},
}
