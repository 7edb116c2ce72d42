"""The models, as OpenAI published them (model pages, pricing and deprecations pages, read November 2026).

Knows: facts. An unknown name is legal: it goes to policy and upstream with conservative estimates.
Prices are US dollars per million tokens, which is the same number as micro-dollars per token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Model:
    """One model. From the day `shutdown` OpenAI no longer serves it, as it announced on `announced`;
    `successor` is what it recommends.
    """

    name: str
    context_window: int
    max_output: int
    price_in: float
    price_cached: float
    price_out: float
    encoding: str = "o200k_base"
    shutdown: date | None = None
    successor: str | None = None
    announced: date | None = None


_OCTOBER = date(2026, 10, 23)
_SEPTEMBER = date(2026, 9, 28)
_DECEMBER = date(2026, 12, 11)
_JANUARY = date(2027, 1, 14)
_NOTICE_4 = date(2026, 10, 14)
_NOTICE_5 = date(2026, 6, 11)
_GPT3 = date(2024, 1, 4)
_CL100K = "cl100k_base"

_TABLE = (
    Model("gpt-6-sol", 1_050_000, 128_000, 2.0, 0.2, 10.0),
    Model("gpt-6-luna", 1_050_000, 128_000, 0.1, 0.01, 0.5),
    Model("gpt-5.6-sol", 1_050_000, 128_000, 5.0, 0.5, 30.0),
    Model("gpt-5.6-terra", 1_050_000, 128_000, 2.5, 0.25, 15.0),
    Model("gpt-5.6-luna", 1_050_000, 128_000, 1.0, 0.1, 6.0),
    Model("gpt-5.2", 400_000, 128_000, 1.75, 0.175, 14.0),
    Model("gpt-5.1", 400_000, 128_000, 1.25, 0.125, 10.0, shutdown=date(2027, 4, 1)),
    Model(
        "gpt-5",
        400_000,
        128_000,
        1.25,
        0.125,
        10.0,
        shutdown=_DECEMBER,
        successor="gpt-6.1-sol",
        announced=_NOTICE_5,
    ),
    Model(
        "gpt-5-mini",
        400_000,
        128_000,
        0.25,
        0.025,
        2.0,
        shutdown=_DECEMBER,
        successor="gpt-6.1-terra",
        announced=_NOTICE_5,
    ),
    Model("gpt-5-nano", 400_000, 128_000, 0.05, 0.005, 0.4, shutdown=_DECEMBER, announced=_NOTICE_5),
    Model(
        "gpt-4.1",
        1_047_576,
        32_768,
        2.0,
        0.5,
        8.0,
        shutdown=_JANUARY,
        successor="gpt-6-luna",
        announced=_NOTICE_4,
    ),
    Model(
        "gpt-4.1-mini",
        1_047_576,
        32_768,
        0.4,
        0.1,
        1.6,
        shutdown=_JANUARY,
        successor="gpt-6-luna",
        announced=_NOTICE_4,
    ),
    Model("gpt-4.1-nano", 1_047_576, 32_768, 0.1, 0.025, 0.4, shutdown=_OCTOBER),
    Model(
        "gpt-4o",
        128_000,
        16_384,
        2.5,
        1.25,
        10.0,
        shutdown=_JANUARY,
        successor="gpt-6-luna",
        announced=_NOTICE_4,
    ),
    Model("gpt-4o-2024-05-13", 128_000, 4_096, 5.0, 5.0, 15.0, shutdown=_OCTOBER, successor="gpt-5.6-sol"),
    Model(
        "gpt-4o-mini",
        128_000,
        16_384,
        0.15,
        0.075,
        0.6,
        shutdown=_JANUARY,
        successor="gpt-6-luna",
        announced=_NOTICE_4,
    ),
    Model(
        "o3",
        200_000,
        100_000,
        2.0,
        0.5,
        8.0,
        shutdown=_DECEMBER,
        successor="gpt-5.6-sol",
        announced=_NOTICE_5,
    ),
    Model("o4-mini", 200_000, 100_000, 1.1, 0.275, 4.4, shutdown=_OCTOBER, successor="gpt-5.6-terra"),
    Model("o3-mini", 200_000, 100_000, 1.1, 0.55, 4.4, shutdown=_OCTOBER, successor="gpt-5.6-sol"),
    Model("o1", 200_000, 100_000, 15.0, 7.5, 60.0, shutdown=_OCTOBER, successor="gpt-5.6-sol"),
    Model("gpt-4-turbo", 128_000, 4_096, 10.0, 10.0, 30.0, _CL100K, _OCTOBER, "gpt-5.6-sol"),
    Model("gpt-4", 8_192, 8_192, 30.0, 30.0, 60.0, _CL100K, _OCTOBER, "gpt-5.6-sol"),
    Model("gpt-4-32k", 32_768, 32_768, 60.0, 60.0, 120.0, _CL100K, date(2025, 6, 6), "gpt-4o"),
    Model("gpt-3.5-turbo", 16_385, 4_096, 0.5, 0.5, 1.5, _CL100K, _OCTOBER, "gpt-5.6-terra"),
    Model("gpt-3.5-turbo-instruct", 4_096, 4_096, 1.5, 1.5, 2.0, _CL100K, _SEPTEMBER),
    Model("davinci-002", 16_384, 16_384, 2.0, 2.0, 2.0, _CL100K, _SEPTEMBER),
    Model("babbage-002", 16_384, 16_384, 0.4, 0.4, 0.4, _CL100K, _SEPTEMBER),
    Model("text-davinci-003", 4_097, 4_097, 20.0, 20.0, 20.0, _CL100K, _GPT3, "gpt-3.5-turbo-instruct"),
    Model("code-davinci-002", 8_001, 8_001, 20.0, 20.0, 20.0, _CL100K, date(2023, 3, 23), "gpt-4o"),
    Model("text-davinci-edit-001", 3_000, 3_000, 20.0, 20.0, 20.0, _CL100K, _GPT3, "gpt-4o"),
    Model("code-davinci-edit-001", 3_000, 3_000, 20.0, 20.0, 20.0, _CL100K, _GPT3, "gpt-4o"),
    Model("text-embedding-3-small", 8_192, 0, 0.02, 0.02, 0.0, _CL100K),
    Model("text-embedding-3-large", 8_192, 0, 0.13, 0.13, 0.0, _CL100K),
    Model("text-embedding-ada-002", 8_192, 0, 0.1, 0.1, 0.0, _CL100K),
    Model("omni-moderation-latest", 32_768, 0, 0.0, 0.0, 0.0),
)
_BY_NAME = {model.name: model for model in _TABLE}
_SNAPSHOT = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{4})\Z")

# What a model we do not know is taken for: dearer than most, and no window to be over.
UNKNOWN = Model("", 0, 32_768, 5.0, 5.0, 30.0)


@lru_cache(maxsize=4096)
def find(name: str | None) -> Model | None:
    """The model of this name; a dated snapshot or a fine-tune resolves to its family. None: unknown.

    >>> find("gpt-4o-mini-2024-07-18").name, find("ft:gpt-4o-mini:org::id").name, find("gpt-99")
    ('gpt-4o-mini', 'gpt-4o-mini', None)
    """
    if name is None:
        return None
    if name.startswith("ft:"):
        return find(name.split(":")[1])
    return _BY_NAME.get(name) or _BY_NAME.get(_SNAPSHOT.sub("", name))
