"""UBJSON as XGBoost writes it: lengths are always `L`, arrays always have a count.

The subset is what XGBoost's own writer uses: objects `{...}`, counted arrays `[#L`, typed
arrays `[$d#L`, texts `SL` and big-endian numbers.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_TYPED = {"f": (b"d", ">f4"), "i": (b"l", ">i4"), "u": (b"U", "u1")}
"""How an array of floats, integers and unsigned integers is written: marker and NumPy's type."""
_NUMBER_BYTES = {b"i": 1, b"U": 1, b"I": 2, b"l": 4, b"L": 8, b"d": 4, b"D": 8}
_CONSTANTS = b"ZTFN"
_DTYPES = {b"i": "i1", b"U": "u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"}
_VALUES = {b"Z": None, b"T": True, b"F": False, b"N": None}
_LENGTH = struct.Struct(">q")
_FLOAT = struct.Struct(">f")
_DEEPEST = 64


class UbjsonError(ValueError):
    """The bytes are not UBJSON as XGBoost writes it."""


def encode(value: Any) -> bytes:
    """Return the encoded document of dicts, sequences, texts, numbers and NumPy arrays.

    Bytes are text that is encoded already. A float loses what float32 cannot hold. Arrays become
    typed arrays: of float32, int32 or uint8, by their own type.
    """
    parts: list[bytes] = []
    _write(value, parts)
    return b"".join(parts)


def _write(value: Any, parts: list[bytes]) -> None:
    if isinstance(value, np.ndarray):
        _write_array(value, parts)
    elif isinstance(value, str | bytes):
        parts.append(b"S" + _text(value))
    elif isinstance(value, int):
        parts.append(b"L" + _LENGTH.pack(value))
    elif isinstance(value, float):
        parts.append(b"d" + _FLOAT.pack(value))
    elif isinstance(value, Mapping):
        parts.append(b"{")
        for key, member in value.items():
            parts.append(_text(key))
            _write(member, parts)
        parts.append(b"}")
    else:
        members: Sequence[Any] = value
        parts.append(b"[#L" + _LENGTH.pack(len(members)))
        for member in members:
            _write(member, parts)


def _write_array(array: np.ndarray[Any, Any], parts: list[bytes]) -> None:
    marker, form = _TYPED[array.dtype.kind]
    parts.append(b"[$" + marker + b"#L" + _LENGTH.pack(array.size))
    parts.append(array.astype(form).tobytes())


def _text(text: str | bytes) -> bytes:
    content = text.encode() if isinstance(text, str) else text
    return b"L" + _LENGTH.pack(len(content)) + content


def member(content: bytes, name: str) -> bytes:
    """Return the encoded value of one member of the top-level object.

    The other members are skipped: nothing is built from them.

    Raises:
        UbjsonError: the content is damaged, or has no such member.
    """
    if content[:1] != b"{":
        raise UbjsonError("it does not begin with an object")
    place = 1
    while content[place : place + 1] != b"}":
        key, place = _key(content, place)
        end = _end(content, place, depth=1)
        if key == name.encode():
            return content[place:end]
        place = end
    raise UbjsonError(f"it has no member {name!r}")


def _end(content: bytes, place: int, depth: int) -> int:
    """Return where the value that begins at `place` ends."""
    if depth > _DEEPEST:
        raise UbjsonError(f"it is nested more than {_DEEPEST} levels deep")
    marker, place = content[place : place + 1], place + 1
    if marker == b"{":
        while content[place : place + 1] != b"}":
            _, place = _key(content, place)
            place = _end(content, place, depth + 1)
        return place + 1
    if marker == b"[":
        return _end_of_array(content, place, depth)
    if marker == b"S":
        return _key(content, place)[1]
    if marker in _NUMBER_BYTES:
        return _within(content, place + _NUMBER_BYTES[marker])
    if marker and marker in _CONSTANTS:
        return place
    raise UbjsonError(f"unknown type {marker!r} at byte {place - 1}")


def _end_of_array(content: bytes, place: int, depth: int) -> int:
    if content[place : place + 1] == b"$":
        kind, place = content[place + 1 : place + 2], place + 2
        count, place = _count(content, place)
        if kind not in _NUMBER_BYTES:
            raise UbjsonError(f"unknown type {kind!r} of an array at byte {place}")
        return _within(content, place + count * _NUMBER_BYTES[kind])
    count, place = _count(content, place)
    for _ in range(count):  # each takes a byte or more, and the end of the content ends it
        place = _end(content, place, depth + 1)
    return place


def _count(content: bytes, place: int) -> tuple[int, int]:
    if content[place : place + 2] != b"#L":
        raise UbjsonError(f"an array without a count at byte {place}")
    return _length(content, place + 2)


def _key(content: bytes, place: int) -> tuple[bytes, int]:
    if content[place : place + 1] != b"L":
        raise UbjsonError(f"a text without a length at byte {place}")
    length, place = _length(content, place + 1)
    end = _within(content, place + length)
    return content[place:end], end


def _length(content: bytes, place: int) -> tuple[int, int]:
    end = _within(content, place + _LENGTH.size)
    (length,) = _LENGTH.unpack_from(content, place)
    if length < 0:
        raise UbjsonError(f"a negative length at byte {place}")
    return length, end


def _within(content: bytes, end: int) -> int:
    if end > len(content):
        raise UbjsonError(f"it ends after {len(content)} bytes, in the middle of a value")
    return end


def decode(content: bytes) -> Any:
    """Return the document: dicts, lists, texts, numbers, and NumPy arrays for typed arrays.

    Raises:
        UbjsonError: the content is damaged.
    """
    value, _ = _value(content, 0, depth=1)
    return value


def _value(content: bytes, place: int, depth: int) -> tuple[Any, int]:
    if depth > _DEEPEST:
        raise UbjsonError(f"it is nested more than {_DEEPEST} levels deep")
    marker, place = content[place : place + 1], place + 1
    if marker == b"{":
        members = {}
        while content[place : place + 1] != b"}":
            key, place = _key(content, place)
            members[key.decode(errors="replace")], place = _value(content, place, depth + 1)
        return members, place + 1
    if marker == b"[":
        return _array(content, place, depth)
    if marker == b"S":
        text, place = _key(content, place)
        return text.decode(errors="replace"), place
    if marker in _NUMBER_BYTES:
        end = _within(content, place + _NUMBER_BYTES[marker])
        return np.frombuffer(content, _DTYPES[marker], 1, place)[0].item(), end
    if marker and marker in _CONSTANTS:
        return _VALUES[marker], place
    raise UbjsonError(f"unknown type {marker!r} at byte {place - 1}")


def _array(content: bytes, place: int, depth: int) -> tuple[Any, int]:
    if content[place : place + 1] == b"$":
        kind, place = content[place + 1 : place + 2], place + 2
        count, place = _count(content, place)
        if kind not in _NUMBER_BYTES:
            raise UbjsonError(f"unknown type {kind!r} of an array at byte {place}")
        end = _within(content, place + count * _NUMBER_BYTES[kind])
        return np.frombuffer(content, _DTYPES[kind], count, place), end
    count, place = _count(content, place)
    values = []
    for _ in range(count):
        value, place = _value(content, place, depth + 1)
        values.append(value)
    return values, place
