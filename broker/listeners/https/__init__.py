"""The HTTPS listener: OpenAI's API as OpenAI documents it, OAuth for tokens, health.

Knows: HTTP and ASGI. Must not know: policy, keys, records; it translates and never decides.
"""
