# METADATA
# title: What is sent for the numbers that a call leaves out
# description: >-
#   A ceiling denies a call that names more, and a cap lowers what it names. Where it names nothing and OpenAI would
#   take more, the lower of both is sent: no bound is passed by saying nothing.
# schemas:
#   - input: schema["calls.input"]
package broker.bounds

import data.broker.output

# What OpenAI documents that it takes where a call names none. Of the others it takes nothing.
documented := {
	"chat": {"n": 1, "temperature": 1, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0},
	"completions": {
		"n": 1,
		"best_of": 1,
		"temperature": 1,
		"top_p": 1,
		"frequency_penalty": 0,
		"presence_penalty": 0,
	},
	"edits": {"n": 1, "temperature": 1, "top_p": 1},
	"responses": {"temperature": 1, "top_p": 1},
}

# The numbers of an embedding, where the model is known.
dimensions := {"text-embedding-3-large": 3072, "text-embedding-3-small": 1536, "text-embedding-ada-002": 1536}

# More than any bound: as much as there is.
unbounded := 9007199254740993

# Each field that is sent, with its value; `model` is the one that upstream is asked for.
unnamed(role, model) := [[field(name), most] |
	some name in bounded(role)
	value := taken(role, name, model)
	most := output.limited(role, name, value)
	most < value
]

bounded(role) := object.keys(object.get(object.get(role, "requires", {}), "ceilings", {})) | object.keys(object.get(object.get(role, "shape", {}), "caps", {}))

field(name) := output.fields[input.call.operation][0] if {
	name == "max_tokens"
} else := name

# What OpenAI takes; undefined where it is told, or the operation does not know it.
taken(role, name, model) := output.asked if {
	name == "max_tokens"
	output.carried == []
} else := documented[input.call.operation][name] if {
	not told(role, name)
} else := object.get(dimensions, model, unbounded) if {
	name == "dimensions"
	input.call.operation == "embeddings"
	not told(role, name)
} else := unbounded if {
	name == "max_tool_calls"
	input.call.operation == "responses"
	brings_tools
	not told(role, name)
}

# Whether the call says it, and what it says is not taken out.
told(role, name) if {
	is_number(input.call.parameters[name])
	not stripped(role, name)
}

stripped(role, name) if name in role.shape.strip

brings_tools if "tools" in input.call.fields

brings_tools if "prompt" in input.call.fields
