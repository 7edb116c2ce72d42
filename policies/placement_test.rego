package broker.placement_test

import data.broker.inputs_test as inputs

test_decision[name] if {
	some name, case in cases
	inputs.as_expected(case)
}

cases := {
	"by the role": {"input": inputs.call("registry", {}), "rule": "granted", "expect": {"placement": {"region": "eu"}}},
	"by the role and the grant": {"input": inputs.call("notary", {}), "rule": "granted", "expect": {"placement": {"region": "eu", "team": "claims"}}},
	"also where the glass is broken": {
		"input": inputs.call("embassy", {"/call/model": "gpt-5", "/call/purpose": "outage INC-4711"}),
		"rule": "break_glass",
		"expect": {"placement": {"region": "us", "team": "consulate"}},
	},
	"the grant goes before the role": {"input": inputs.call("embassy", {}), "rule": "granted", "expect": {"placement": {"region": "us", "team": "consulate"}}},
}
