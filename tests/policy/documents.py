"""Input documents as the pipeline builds them."""

from __future__ import annotations

ASSISTANT = "spiffe://dev.broker/ns/demo/sa/assistant"
TIME: dict[str, object] = {"utc": "2026-11-24T10:43Z", "weekday": 2, "clock": "11:43"}


def subject(name: str = "assistant") -> dict[str, object]:
    return {"id": f"spiffe://dev.broker/ns/demo/sa/{name}", "tenant": "demo", "actor_chain": []}


def call(
    name: str = "assistant",
    model: object = "gpt-4o",
    *rules: str,
    operation: str = "chat",
    user: object = None,
    tokens_out: int = 256,
) -> dict[str, object]:
    return {
        "v": 1,
        "subject": subject(name),
        "token": {"id": "tok_1", "scope": ["chat:gpt-4o"], "user": user, "max_tokens": 4096},
        "call": {
            "operation": operation,
            "model": model,
            "stream": False,
            "user": user,
            "parameters": {"max_tokens": 256, "temperature": 0.7},
            "fields": ["max_tokens", "messages", "model", "temperature"],
            "bytes": 812,
            "store": None,
            "purpose": None,
            "reaches": [],
            "references": [],
        },
        "findings": [{"rule": rule, "severity": "low", "location": "messages[0].content"} for rule in rules],
        "estimate": {
            "tokens_in": 120,
            "tokens_out_max": tokens_out,
            "cost_micro_usd": 2860,
            "known_model": True,
        },
        "transport": "https",
        "now_ns": 1795000000123456789,
        "time": TIME,
    }


def wish(name: str = "assistant", *scope: tuple[str, object], ttl: object = None) -> dict[str, object]:
    return {
        "v": 1,
        "subject": subject(name),
        "request": {
            "scope": [{"operation": operation, "model": model} for operation, model in scope],
            "ttl_seconds": ttl,
            "user": None,
            "max_tokens": None,
            "audience": None,
        },
        "transport": "grpc",
        "now_ns": 1795000000123456789,
        "time": TIME,
    }


def deed(name: str, action: str) -> dict[str, object]:
    return {
        "v": 1,
        "subject": subject(name),
        "action": action,
        "transport": "grpc",
        "now_ns": 1795000000123456789,
        "time": TIME,
    }
