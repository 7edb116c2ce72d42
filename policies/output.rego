# METADATA
# title: How many tokens a call can produce
# description: >-
#   The estimate is what the caller asked for. This is what is left of it where the caller keeps to the role's
#   ceilings and the role's caps are set: prompts × tokens of an answer × answers, never less than the truth.
# schemas:
#   - input: schema["calls.input"]
package broker.output

# Every name a bound of output tokens goes by; in `ceilings` and `caps` it is always `max_tokens`.
names := ["max_tokens", "max_completion_tokens", "max_output_tokens"]

# Those an operation obeys, the one to set first. An edit is performed by a chat.
fields := {
	"chat": ["max_completion_tokens", "max_tokens"],
	"completions": ["max_tokens"],
	"edits": ["max_completion_tokens"],
	"responses": ["max_output_tokens"],
}

# What the call carries of those that its operation obeys: the others bound nothing, for OpenAI does not read them.
carried := [name | some name in fields[input.call.operation]; is_number(input.call.parameters[name])]

# The worst case after ceilings and caps.
worst(role) := (prompts * choices(role)) * limited(role, "max_tokens", asked)

# The most tokens an answer may have so that the call stays below the role's `max_output_tokens`.
bound(role) := most if {
	most := floor(role.max_output_tokens / (prompts * choices(role)))
	most >= 1
}

# Tokens of one answer: what the call names; otherwise OpenAI's default, which is 16 or all the model can.
# Undefined where the operation obeys no bound.
asked := larger(number(carried[0]), number(carried[count(carried) - 1])) if {
	carried != []
} else := 16 if {
	input.call.operation == "completions"
} else := ceil(input.estimate.tokens_out_max / answers) if {
	fields[input.call.operation]
}

prompts := ceil(input.estimate.tokens_out_max / (asked * answers)) if asked > 0

answers := larger(1, larger(number("n"), number("best_of")))

# As many answers as ceilings and caps leave.
choices(role) := larger(1, larger(limited(role, "n", number("n")), limited(role, "best_of", number("best_of"))))

limited(role, name, value) := smaller(smaller(value, ceiling), cap) if {
	ceiling := object.get(object.get(object.get(role, "requires", {}), "ceilings", {}), name, value)
	cap := object.get(object.get(object.get(role, "shape", {}), "caps", {}), name, value)
}

number(name) := input.call.parameters[name] if {
	is_number(input.call.parameters[name])
} else := 0

larger(a, b) := a if {
	a > b
} else := b

smaller(a, b) := a if {
	a < b
} else := b
