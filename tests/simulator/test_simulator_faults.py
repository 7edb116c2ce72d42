"""Every fault, by header and by model name, as a client without any mercy sees it."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest
from openai import APIError, AsyncOpenAI, InternalServerError, RateLimitError

from broker.simulator import Override, Simulator, overrides
from broker.simulator.api_error import ApiError

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Hello"}]


def chat(fault: str, *, stream: bool = False) -> dict[str, object]:
    return {"model": f"gpt-4o-mini-sim-{fault}", "messages": MESSAGES, "stream": stream}


async def stream_text(http: httpx.AsyncClient, fault: str) -> str:
    return (await http.post(CHAT, json=chat(fault, stream=True))).text


async def collect(http: httpx.AsyncClient, fault: str, pieces: list[bytes]) -> None:
    async with http.stream("POST", CHAT, json=chat(fault, stream=True)) as reply:
        async for piece in reply.aiter_raw():
            pieces.append(piece)


ERRORS = [
    ("429", 429, "rate_limit_exceeded"),
    ("401", 401, "invalid_api_key"),
    ("401-scopes", 401, None),
    ("500", 500, None),
    ("503", 503, "service_unavailable"),
    ("moderation-400", 400, "invalid_prompt"),
    ("context-400", 400, "context_length_exceeded"),
]


@pytest.mark.parametrize(("fault", "status", "code"), ERRORS)
@pytest.mark.parametrize("model", ["sim-{}", "gpt-4o-mini-sim-{}", "gpt-4o-mini"])
async def test_error_by_header_or_model(
    http: httpx.AsyncClient, fault: str, status: int, code: str | None, model: str
) -> None:
    headers = {} if "{}" in model else {"x-sim-fault": fault}
    body = {"model": model.format(fault), "messages": MESSAGES, "stream": True}
    reply = await http.post(CHAT, json=body, headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)


async def test_sdk_raises_the_right_classes(sdk: AsyncOpenAI) -> None:
    with pytest.raises(RateLimitError):
        await sdk.embeddings.create(model="text-embedding-3-small-sim-429", input="a")
    with pytest.raises(InternalServerError):
        await sdk.models.list(extra_headers={"x-sim-fault": "500"})


async def test_429_says_when_to_come_back(http: httpx.AsyncClient) -> None:
    headers = (await http.post(CHAT, json=chat("429/retry-after-ms:1500"))).headers
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("2", "1500")
    assert headers.get_list("x-ratelimit-remaining-requests") == ["0"]


async def test_429_then_ok_counts_attempts_of_one_request(http: httpx.AsyncClient) -> None:
    fault = "429-then-ok:2/retry-after-ms:0"
    statuses = [(await http.post(CHAT, json=chat(fault))).status_code for _ in range(4)]
    assert statuses == [429, 429, 200, 200]
    named = {"idempotency-key": "one"}
    other = [(await http.post(CHAT, json=chat(fault), headers=named)).status_code for _ in range(3)]
    assert other == [429, 429, 200]


async def test_sdk_rides_out_429s(simulator: Simulator) -> None:
    async with AsyncOpenAI(base_url=simulator.url + "/v1", api_key=simulator.key, max_retries=2) as client:
        reply = await client.chat.completions.create(
            model="gpt-4o-mini-sim-429-then-ok:2/retry-after-ms:1",
            messages=[{"role": "user", "content": "Hello"}],
        )
    assert reply.choices[0].finish_reason == "stop"
    assert simulator.count == 3


async def test_slow_first_byte_holds_the_status_line(http: httpx.AsyncClient) -> None:
    started = time.monotonic()
    async with http.stream("POST", CHAT, json=chat("slow-first-byte:150")) as reply:
        assert time.monotonic() - started >= 0.15
        assert reply.status_code == 200


async def test_slow_stream_spaces_events(http: httpx.AsyncClient) -> None:
    arrivals: list[float] = []
    async with http.stream("POST", CHAT, json=chat("slow-stream:40/words:3", stream=True)) as reply:
        async for line in reply.aiter_lines():
            if line.startswith("data:"):
                arrivals.append(time.monotonic())
    assert len(arrivals) == 6
    assert arrivals[-1] - arrivals[0] > 4 * 0.04


async def test_every_event_is_flushed_by_itself(http: httpx.AsyncClient) -> None:
    async with http.stream("POST", CHAT, json=chat("timestamps/words:20", stream=True)) as reply:
        pieces = [piece async for piece in reply.aiter_raw()]
    stamps = [int(line[4:]) for line in b"".join(pieces).splitlines() if line.startswith(b": t=")]
    assert len(stamps) == len(pieces) == 23
    assert stamps == sorted(stamps)
    assert stamps[-1] <= time.monotonic_ns()


@pytest.mark.parametrize("whole", [0, 3])
async def test_cut_stream_ends_in_the_middle_of_an_event(http: httpx.AsyncClient, whole: int) -> None:
    pieces: list[bytes] = []
    with pytest.raises(httpx.RemoteProtocolError):
        await collect(http, f"cut:{whole}", pieces)
    received = b"".join(pieces)
    assert received.count(b"\n\n") == whole
    assert received.endswith(b"[DONE]\n\n") is False
    assert received.rpartition(b"\n\n")[2].startswith(b'data: {"id":')


async def test_cut_unary_reply_is_shorter_than_it_promised(http: httpx.AsyncClient) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await http.post(CHAT, json=chat("cut"))


async def test_end_without_done(http: httpx.AsyncClient) -> None:
    whole, ended = await stream_text(http, "words:3"), await stream_text(http, "words:3/end-without-done")
    assert whole.endswith("data: [DONE]\n\n")
    assert "[DONE]" not in ended
    assert ended.count("\n\n") == whole.count("\n\n") - 1
    body = {"model": "sim-end-without-done", "input": "a", "stream": True}
    responses = (await http.post("/v1/responses", json=body)).text
    assert "event: response.output_item.done" in responses
    assert "response.completed" not in responses


async def test_malformed_json(http: httpx.AsyncClient) -> None:
    reply = await http.post(CHAT, json=chat("malformed-json"))
    assert reply.status_code == 200
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        reply.json()
    events = (await stream_text(http, "malformed-json")).split("\n\n")
    assert events[0].endswith("}")
    assert not events[1].endswith("}")
    assert events[-2] == "data: [DONE]"


async def test_error_event_ends_the_stream(sdk: AsyncOpenAI) -> None:
    stream = await sdk.chat.completions.create(
        model="gpt-4o-mini-sim-error-event:1",
        messages=[{"role": "user", "content": "Hello"}],
        stream=True,
    )
    with pytest.raises(APIError, match="had an error"):
        [chunk async for chunk in stream]
    typed = await sdk.responses.create(model="gpt-4o-mini-sim-error-event:2", input="Hello", stream=True)
    assert [event.type async for event in typed] == ["response.created", "response.in_progress", "error"]


async def test_unknown_events_and_comments_come_between(http: httpx.AsyncClient) -> None:
    text = await stream_text(http, "unknown-event/words:2")
    assert text.count(": keep-alive\n\n") == 4
    assert text.count("event: simulated.unknown\n") == 4
    assert text.endswith("data: [DONE]\n\n")


async def test_huge_answer(http: httpx.AsyncClient) -> None:
    reply = await http.post(CHAT, json=chat("huge"))
    assert len(reply.json()["choices"][0]["message"]["content"]) == 4 * 1024 * 1024
    assert len(await stream_text(http, "huge:100000")) > 100_000


async def test_nothing_is_compressed(http: httpx.AsyncClient) -> None:
    reply = await http.post(CHAT, json=chat("words:50"), headers={"accept-encoding": "gzip, br"})
    assert "content-encoding" not in reply.headers


@pytest.mark.parametrize("fault", ["no-such", "cut:-1", "cut:x", "cut:"])
async def test_unknown_override_is_refused_by_name(http: httpx.AsyncClient, fault: str) -> None:
    reply = await http.post(CHAT, json=chat(fault))
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "unknown_simulator_knob")
    assert fault in reply.json()["error"]["message"]


async def test_abandoned_stream_is_noticed_at_once(simulator: Simulator, http: httpx.AsyncClient) -> None:
    async with http.stream("POST", CHAT, json=chat("slow-stream:60000", stream=True)) as reply:
        await anext(reply.aiter_raw())
        assert simulator.open_replies == 1
    async with asyncio.timeout(2):
        while simulator.open_replies:  # noqa: ASYNC110 - the simulator is asked as a test outside would ask
            await asyncio.sleep(0.01)


async def test_leaving_the_context_cuts_what_is_open(http: httpx.AsyncClient) -> None:
    async with Simulator() as other:
        headers = {"authorization": f"Bearer {other.key}"}
        body = chat("slow-stream:60000", stream=True)
        request = http.build_request("POST", other.url + CHAT, json=body, headers=headers)
        reply = await http.send(request, stream=True)
        pieces = reply.aiter_raw()
        await anext(pieces)
    with pytest.raises(httpx.HTTPError):
        await anext(pieces)
    await reply.aclose()


def test_every_override_is_told_of_in_a_refusal() -> None:
    with pytest.raises(ApiError) as caught:
        overrides.parse("no-such")
    assert all(override in caught.value.message for override in Override)


async def test_a_key_has_overrides_of_its_own() -> None:
    revoked, limited, sound = "sk-simulated-revo", "sk-simulated-limi", "sk-simulated-good"
    async with Simulator(keys=(sound, revoked, limited)) as simulator:
        async with httpx.AsyncClient(base_url=simulator.url, trust_env=False) as http:
            for last4, wanted in (("revo", "401"), ("limi", "429/retry-after-ms:2500")):
                said = await http.post("/sim/keys", json={"last4": last4, "knobs": wanted})
                assert said.status_code == 200
            statuses = {}
            for key in (sound, revoked, limited):
                reply = await http.get("/v1/models", headers={"authorization": f"Bearer {key}"})
                statuses[key] = (reply.status_code, reply.headers.get("retry-after"))
            assert statuses == {sound: (200, None), revoked: (401, None), limited: (429, "3")}
            await http.post("/sim/keys", json={"last4": "revo", "knobs": ""})
            again = await http.get("/v1/models", headers={"authorization": f"Bearer {revoked}"})
            assert again.status_code == 200
            unknown = await http.post("/sim/keys", json={"last4": "revo", "knobs": "40l"})
            assert unknown.json()["error"]["code"] == "unknown_simulator_knob"
        simulator.reset()
        assert simulator.count == 0
