"""Pure translation between a decided call and what goes upstream, and between the reply and the caller.

Knows: Call, Decision and OpenAI's bodies. Must not know: who decides, who sends, who records.
"""
