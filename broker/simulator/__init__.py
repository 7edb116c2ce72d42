"""A simulated OpenAI: strict about requests, realistic in replies, and faulty on demand.

Knows: OpenAI's public HTTP API as its reference documents it. Must not know: the broker; it sees
only what any upstream would see, so that what it received can be compared with what the log says.

    async with Simulator() as simulator:      # on the running loop, a free loopback port
        OpenAI(base_url=simulator.url + "/v1", api_key=simulator.key)

or as a process, `python -m broker.simulator --port 8080 [--key-file F]`, which prints `ready URL`.

Replies are a function of the request alone (`created` included, `x-request-id` not). A chat answers
`Echo: ` and the start of the last user message, then some filler; one word is one stream event and
counts as one completion token; prompt tokens are counted with the model's own vocabulary.

Overrides, one grammar in two places: `item *("/" item)`, where an item is `name` or `name:NUMBER`, in
the header `x-sim-fault`, or at the end of the model's name as `sim-…` or `gpt-4o-mini-sim-…`
(`gpt-4o-mini-sim-slow-stream:20/cut`), for callers whose headers do not arrive. See `overrides.Override`
for every name, its number and its default. Two headers are short for the overrides of the same name:
`x-sim-words: N` and `x-sim-timestamps: 1`.

A key can have overrides, too: `POST /sim/keys` with `{"last4": "wxyz", "overrides":
"429/retry-after-ms:500"}`
gives them to every request with the key of these last four characters (`401` revokes it), and `""` takes
them away.

An `Organization` adds the admin API of project service accounts and of hard spend limits
(`/v1/organization/…`) and, with `Provider`s, the token endpoint of workload identity federation (`POST
/oauth/token`); what they issue opens `/v1` until it ends, within its scopes. `GET /sim/organization` tells
its accounts and what happened to them.

`GET /sim/received` tells what arrived (`?entries=0`: the counts alone); `POST /sim/reset` forgets
that, all stored objects, all attempts and the keys' overrides, not the organization. None of them wants a
key, and none is counted.
"""

from broker.simulator.federation import Mapped, Provider
from broker.simulator.organization import Organization
from broker.simulator.overrides import Override
from broker.simulator.request_log import Received
from broker.simulator.server import SIMULATED_KEY, Simulator

__all__ = ["SIMULATED_KEY", "Mapped", "Organization", "Override", "Provider", "Received", "Simulator"]
