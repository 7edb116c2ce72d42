"""Which members of OpenAI's request bodies name an object that OpenAI keeps, and which only look like it.

Knows: OpenAI's API reference. Must not know: how a body is walked, whose an object is.
"""

from __future__ import annotations

OF_THE_CALLER = frozenset(
    {
        "client_metadata",
        "headers",
        "input_schema",
        "json_schema",
        "logit_bias",
        "metadata",
        "output_schema",
        "parameters",
        "schema",
        "user_location",
    }
)
"""What is below is the caller's own: labels, and JSON schemas whose properties may be called anything."""
NO_OBJECT = frozenset({"call_id", "caller_id", "connector_id", "tool_call_id", "tunnel_id"})
"""Ids that only mean something inside this body, or what policy is told of as a fact."""
HOLDS_ITEMS = frozenset({"input", "instructions", "items", "output"})
NAMELESS = frozenset({"acknowledged_safety_checks", "messages", "pending_safety_checks", "tool_calls"})
"""An `id` in here is a label within the conversation that is sent."""
RETOLD = frozenset({"annotations", "results"})
"""Lists in which a caller gives back what an earlier answer said of its sources; nothing is fetched by it."""
FILLED_IN = "variables"
"""A stored prompt's: their names are the caller's own, their values may be files."""
FRAME = frozenset({"id", "role", "status", "type"})
INLINE = frozenset(
    {
        "additional_tools",
        "apply_patch_call",
        "apply_patch_call_output",
        "code_interpreter_call",
        "compaction",
        "compaction_trigger",
        "computer_call",
        "computer_call_output",
        "configuration_update",
        "custom_tool_call",
        "custom_tool_call_output",
        "file_search_call",
        "function_call",
        "function_call_output",
        "local_shell_call",
        "local_shell_call_output",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_call",
        "mcp_list_tools",
        "message",
        "program",
        "program_output",
        "shell_call",
        "shell_call_output",
        "tool_search_call",
        "tool_search_output",
        "web_search_call",
    }
)
"""Items that carry all they mean: OpenAI reads their contents, not what it keeps under their id."""
BY_ID_ALONE = {"reasoning": "encrypted_content", "image_generation_call": "result"}
"""Items that OpenAI looks up by their id unless they carry this field."""
AT_THE_CALLER = frozenset({"apply_patch", "custom", "function", "local_shell", "namespace", "tool_search"})
"""Tools that the caller performs itself: the model only asks for them."""
KINDS = frozenset(
    {
        "after",
        "approval_request_id",
        "audio",
        "container",
        "container_id",
        "conversation",
        "file_id",
        "file_ids",
        "id",
        "item",
        "previous_response_id",
        "prompt",
        "skill_id",
        "vector_store_ids",
    }
)
