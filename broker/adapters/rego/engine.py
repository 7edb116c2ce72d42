"""rego-cpp through its C interface: compile once, evaluate by entrypoint.

Knows: handles and who frees them. Must not know: policies. regopy's own `Input` and `Output` are not used:
`Input` cuts strings at a NUL, wraps integers beyond 64 bits and drops the lock of Python for each of a
hundred tiny calls; `Output` parses twice. All errors leave as EngineError, without anything of the input.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from threading import Lock
from typing import Any

import orjson
from regopy import rego_shared as c

from broker.adapters.rego import encoding

_MAX_INT = 2**63 - 1
_UNDEFINED = "undefined"
_BUFFER_BYTES = 16 * 1024
_lib = ctypes.PyDLL(c.path)  # keeps Python's lock: each call below takes well under a microsecond


def _bind(name: str, *arguments: Any) -> Callable[..., int]:
    function: Callable[..., int] = getattr(_lib, name)
    function.restype, function.argtypes = ctypes.c_uint32, [ctypes.c_void_p, *arguments]  # type: ignore[attr-defined]
    return function


_string = _bind("regoInputString", ctypes.c_char_p)
_integer = _bind("regoInputInt", ctypes.c_int64)
_float = _bind("regoInputFloat", ctypes.c_double)
_boolean = _bind("regoInputBoolean", ctypes.c_bool)
_null = _bind("regoInputNull")
_item = _bind("regoInputObjectItem")
_object = _bind("regoInputObject", ctypes.c_uint32)
_array = _bind("regoInputArray", ctypes.c_uint32)


class EngineError(Exception):
    """The engine could not compile or answer. Its text is the engine's own where it compiles, ours after."""


class Engine:
    """One compiled bundle. Safe for concurrent use: evaluations take turns; each frees Python's lock."""

    def __init__(
        self, modules: Mapping[str, str], base: Mapping[str, object], entrypoints: Sequence[str]
    ) -> None:
        """`modules` are texts by name. Raises EngineError where they do not compile."""
        self._lock = Lock()
        self._buffer = ctypes.create_string_buffer(_BUFFER_BYTES)
        self._bundle = None
        self._rego = c.rego_new()
        try:
            c.rego_set_log_level(self._rego, c.LogLevel.NONE)  # it would print parts of documents
            c.rego_add_data_json(self._rego, _json(base))
            for name, text in modules.items():
                c.rego_add_module(self._rego, name, text)
            for entrypoint in entrypoints:
                c.rego_add_entrypoint(self._rego, entrypoint)
            self._bundle = c.rego_build(self._rego)
            if not self._bundle or not c.rego_bundle_ok(self._bundle):
                raise EngineError(c.rego_get_error(self._rego))
        except (c.RegoError, ValueError) as error:
            raise EngineError(str(error)) from None

    def __del__(self) -> None:
        if self._bundle:
            c.rego_free_bundle(self._bundle)
        c.rego_free(self._rego)

    def evaluate(self, entrypoint: str, document: object) -> object:
        """The value of `entrypoint`, or None where it is undefined. Raises EngineError."""
        handle = c.rego_new_input()
        try:
            _push(handle, document)
            with self._lock:
                text = self._query(entrypoint, handle)
        except (c.RegoError, ValueError, UnicodeDecodeError) as error:
            raise EngineError(str(error) if type(error) is ValueError else type(error).__name__) from None
        finally:
            c.rego_free_input(handle)
        return _value(text)

    def _query(self, entrypoint: str, handle: int) -> str:
        c.rego_set_input(self._rego, handle)
        output = c.rego_bundle_query_entrypoint(self._rego, self._bundle, entrypoint)
        if not output:
            raise EngineError("no output")
        try:
            if not c.rego_output_ok(output):
                raise EngineError("the evaluation ended with an error")
            return self._text(output)
        finally:
            c.rego_free_output(output)

    def _text(self, output: int) -> str:
        """The answer as JSON. Asking for its size first would have the engine write it twice."""
        if c.rego.regoOutputJSON(output, self._buffer, _BUFFER_BYTES) == c.Code.OK:
            return self._buffer.value.decode()
        return str(c.rego_output_string(output))


def _value(text: str) -> object:
    if text == _UNDEFINED:
        return None
    try:
        answer = orjson.loads(encoding.decode(text))
        (value,) = answer["expressions"]
    except (orjson.JSONDecodeError, TypeError, KeyError, ValueError):
        raise EngineError("the evaluation did not end with a value") from None
    return value


def _push(handle: int, value: object) -> None:
    """Hands one JSON value to the engine, depth first. Raises ValueError for what JSON cannot say."""
    kind = type(value)
    if kind is str:
        failed = _string(handle, encoding.encode(value))  # type: ignore[arg-type]
    elif kind is dict:
        failed = _push_object(handle, value)  # type: ignore[arg-type]
    elif kind is int:
        if not -_MAX_INT <= value <= _MAX_INT:  # type: ignore[operator]
            raise ValueError("an integer is beyond 64 bits")
        failed = _integer(handle, value)
    elif kind is list:
        for child in value:  # type: ignore[attr-defined]
            _push(handle, child)
        failed = _array(handle, len(value))  # type: ignore[arg-type]
    elif value is None:
        failed = _null(handle)
    elif kind is bool:
        failed = _boolean(handle, value)
    elif kind is float and isfinite(value):  # type: ignore[arg-type]
        failed = _float(handle, value)
    elif isinstance(value, str):  # a StrEnum
        failed = _string(handle, encoding.encode(value))
    else:
        raise ValueError(f"the input holds a {kind.__name__} that is not a JSON value")
    if failed:
        raise ValueError("the engine does not take the input")


def _push_object(handle: int, value: dict[str, object]) -> int:
    for key, child in value.items():
        _string(handle, encoding.encode(key))
        _push(handle, child)
        _item(handle)
    return _object(handle, len(value))


def _json(value: object) -> str:
    return orjson.dumps(_standing(value)).decode()


def _standing(value: object) -> object:
    """The base document with stand-ins for characters that JSON would escape."""
    if isinstance(value, str):
        return encoding.standing(value)
    if isinstance(value, list):
        return [_standing(child) for child in value]
    if isinstance(value, dict):
        return {encoding.standing(key): _standing(child) for key, child in value.items()}
    return value
