package broker.limits_test

import data.broker.inputs_test as inputs

test_decision[name] if {
	some name, case in cases
	inputs.as_expected(case)
}

clerk(team, user) := {
	"requests/minute": {"account": inputs.id("clerk"), "unit": "requests", "cap": 600, "window_seconds": 60},
	"spend/day": {"account": team, "unit": "micro_usd", "cap": 50000000, "window_seconds": 86400},
	"tokens/day": {"account": user, "unit": "tokens", "cap": 200000, "window_seconds": 86400},
}

cases := {
	"by subject": {"input": inputs.call("batch", {"/call/operation": "embeddings", "/call/model": "text-embedding-3-small"}), "rule": "granted", "expect": {"account": inputs.id("batch"), "limits": {
		"requests/minute": {"unit": "requests", "cap": 30000, "window_seconds": 60},
		"tokens/minute": {"unit": "tokens", "cap": 50000000, "window_seconds": 60},
		"spend/day": {"unit": "micro_usd", "cap": 100000000, "window_seconds": 86400},
	}}},
	"by team and user": {"input": inputs.call("clerk", {}), "rule": "granted", "expect": {"limits": clerk("team:claims", "user:carol")}},
	"a user who is called like a subject": {"input": inputs.call("clerk", {"/token/user": inputs.id("batch")}), "rule": "granted", "expect": {"limits": clerk("team:claims", concat(":", ["user", inputs.id("batch")]))}},
	"without a team": {"input": inputs.call("night", {}), "rule": "granted", "expect": {"limits": {
		"requests/minute": {"account": inputs.id("night"), "unit": "requests", "cap": 600, "window_seconds": 60},
		"spend/day": {"account": inputs.id("night"), "unit": "micro_usd", "cap": 50000000, "window_seconds": 86400},
		"tokens/day": {"account": "user:carol", "unit": "tokens", "cap": 200000, "window_seconds": 86400},
	}}},
	"without a user": {"input": inputs.call("kiosk", {"/token/user": null}), "rule": "granted", "expect": {"limits": {
		"requests/minute": {"account": inputs.id("kiosk"), "unit": "requests", "cap": 60, "window_seconds": 60},
		"spend/day": {"account": inputs.id("kiosk"), "unit": "micro_usd", "cap": 1000000, "calendar": "day", "time_zone": "Europe/Berlin", "warn_percent": 50},
		"streams": {"account": inputs.id("kiosk"), "unit": "concurrent_streams", "cap": 2, "observe": true},
	}}},
}
