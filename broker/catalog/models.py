"""The models, as OpenAI published them (model pages and deprecations page, read November 2026).

Knows: facts. An unknown name is legal: it goes to policy and upstream with conservative estimates. Must not
know: prices.
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
    Model("gpt-6-sol", 1_050_000, 128_000),
    Model("gpt-6-luna", 1_050_000, 128_000),
    Model("gpt-5.6-sol", 1_050_000, 128_000),
    Model("gpt-5.6-terra", 1_050_000, 128_000),
    Model("gpt-5.6-luna", 1_050_000, 128_000),
    Model("gpt-5.2", 400_000, 128_000),
    Model("gpt-5.1", 400_000, 128_000, shutdown=date(2027, 4, 1)),
    Model(
        "gpt-5",
        400_000,
        128_000,
        shutdown=_DECEMBER,
        successor="gpt-6.1-sol",
        announced=_NOTICE_5,
    ),
    Model(
        "gpt-5-mini",
        400_000,
        128_000,
        shutdown=_DECEMBER,
        successor="gpt-6.1-terra",
        announced=_NOTICE_5,
    ),
    Model("gpt-5-nano", 400_000, 128_000, shutdown=_DECEMBER, announced=_NOTICE_5),
    Model(
        "gpt-4.1",
        1_047_576,
        32_768,
        shutdown=_JANUARY,
        successor="gpt-6-luna",
        announced=_NOTICE_4,
    ),
    Model(
        "gpt-4.1-mini",
        1_047_576,
        32_768,
        shutdown=_JANUARY,
        successor="gpt-6-luna",
        announced=_NOTICE_4,
    ),
    Model("gpt-4.1-nano", 1_047_576, 32_768, shutdown=_OCTOBER),
    Model(
        "gpt-4o",
        128_000,
        16_384,
        shutdown=_JANUARY,
        successor="gpt-6-luna",
        announced=_NOTICE_4,
    ),
    Model("gpt-4o-2024-05-13", 128_000, 4_096, shutdown=_OCTOBER, successor="gpt-5.6-sol"),
    Model(
        "gpt-4o-mini",
        128_000,
        16_384,
        shutdown=_JANUARY,
        successor="gpt-6-luna",
        announced=_NOTICE_4,
    ),
    Model(
        "o3",
        200_000,
        100_000,
        shutdown=_DECEMBER,
        successor="gpt-5.6-sol",
        announced=_NOTICE_5,
    ),
    Model("o4-mini", 200_000, 100_000, shutdown=_OCTOBER, successor="gpt-5.6-terra"),
    Model("o3-mini", 200_000, 100_000, shutdown=_OCTOBER, successor="gpt-5.6-sol"),
    Model("o1", 200_000, 100_000, shutdown=_OCTOBER, successor="gpt-5.6-sol"),
    Model("gpt-4-turbo", 128_000, 4_096, _CL100K, _OCTOBER, "gpt-5.6-sol"),
    Model("gpt-4", 8_192, 8_192, _CL100K, _OCTOBER, "gpt-5.6-sol"),
    Model("gpt-4-32k", 32_768, 32_768, _CL100K, date(2025, 6, 6), "gpt-4o"),
    Model("gpt-3.5-turbo", 16_385, 4_096, _CL100K, _OCTOBER, "gpt-5.6-terra"),
    Model("gpt-3.5-turbo-instruct", 4_096, 4_096, _CL100K, _SEPTEMBER),
    Model("davinci-002", 16_384, 16_384, _CL100K, _SEPTEMBER),
    Model("babbage-002", 16_384, 16_384, _CL100K, _SEPTEMBER),
    Model("text-davinci-003", 4_097, 4_097, _CL100K, _GPT3, "gpt-3.5-turbo-instruct"),
    Model("code-davinci-002", 8_001, 8_001, _CL100K, date(2023, 3, 23), "gpt-4o"),
    Model("text-davinci-edit-001", 3_000, 3_000, _CL100K, _GPT3, "gpt-4o"),
    Model("code-davinci-edit-001", 3_000, 3_000, _CL100K, _GPT3, "gpt-4o"),
    Model("text-embedding-3-small", 8_192, 0, _CL100K),
    Model("text-embedding-3-large", 8_192, 0, _CL100K),
    Model("text-embedding-ada-002", 8_192, 0, _CL100K),
    Model("omni-moderation-latest", 32_768, 0),
)
_BY_NAME = {model.name: model for model in _TABLE}
_SNAPSHOT = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{4})\Z")

# What a model we do not know is taken for: as long an answer as any, and no window to be over.
UNKNOWN = Model("", 0, max(model.max_output for model in _TABLE))
LARGEST_WINDOW = max(model.context_window for model in _TABLE)


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
