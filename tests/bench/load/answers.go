package main

import "fmt"

// created is a fixed time: answers differ in their number and send time only.
const created = 1764000000

const answerText = "The quarterly report shows steady growth in three of the four regions, with the " +
	"north still behind its plan. The main reasons named are late deliveries and a slow start of the new shop."

func usageJSON(out int) string {
	return fmt.Sprintf(`{"prompt_tokens":118,"completion_tokens":%d,"total_tokens":%d,`+
		`"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}`, out, 118+out)
}

// completion is a unary answer of about 700 bytes, shaped as OpenAI's.
func completion(number int64) []byte {
	return fmt.Appendf(nil, `{"id":"chatcmpl-%024d","object":"chat.completion","created":%d,"model":"%s-2024-07-18",`+
		`"choices":[{"index":0,"message":{"role":"assistant","content":"%s","refusal":null},"logprobs":null,"finish_reason":"stop"}],`+
		`"usage":%s,"service_tier":"default","system_fingerprint":"fp_%d"}`,
		number, created, modelName, answerText, usageJSON(42), monotonic())
}

// chunk is event i of count: the role first, words between, the finish reason last.
func chunk(number int64, i, count int) []byte {
	delta, finish := `{"content":" steady"}`, "null"
	switch i {
	case 0:
		delta = `{"role":"assistant","content":"","refusal":null}`
	case count - 1:
		delta, finish = `{}`, `"stop"`
	}
	choice := fmt.Sprintf(`{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}`, delta, finish)
	return event(number, choice, "null")
}

// usageChunk is the extra last chunk of a stream whose caller asked for usage: no choices.
func usageChunk(number int64, count int) []byte {
	return event(number, "", usageJSON(count))
}

func event(number int64, choices, usage string) []byte {
	return fmt.Appendf(nil, `data: {"id":"chatcmpl-%024d","object":"chat.completion.chunk","created":%d,"model":"%s-2024-07-18",`+
		`"service_tier":"default","system_fingerprint":"fp_%d","choices":[%s],"usage":%s}`+"\n\n",
		number, created, modelName, monotonic(), choices, usage)
}
