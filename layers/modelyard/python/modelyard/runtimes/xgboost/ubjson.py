"""UBJSON as XGBoost writes it: lengths are always `L`, arrays always have a count.

The subset is what XGBoost's own writer uses: objects `{...}`, counted arrays `[#L`, typed
arrays `[$d#L`, texts `SL` and big-endian numbers.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

_TYPED = {"f": (b"d", ">f4"), "i": (b"l", ">i4"), "u": (b"U", "u1")}
"""How an array of floats, integers and unsigned integers is written: marker and NumPy's type."""
_FORMS = {"i": ">b", "U": ">B", "I": ">h", "l": ">i", "L": ">q", "d": ">f", "D": ">d"}
_DTYPES = {ord(marker): np.dtype(form) for marker, form in _FORMS.items()}
_NUMBERS = {ord(marker): struct.Struct(form) for marker, form in _FORMS.items()}
_CONSTANTS = {ord("Z"): None, ord("T"): True, ord("F"): False, ord("N"): None}
_OBJECT, _END, _ARRAY, _TYPE, _TEXT, _LONG = b"{}[$SL"
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

    Raises:
        UbjsonError: the content is damaged, or has no such member.
    """
    with _damages(content):
        if content[:1] != b"{":
            raise UbjsonError("it does not begin with an object")
        place = 1
        while content[place] != _END:
            key, place = _text_at(content, place)
            _, end = _value(content, place, 1)
            if key == name.encode():
                return content[place:end]
            place = end
    raise UbjsonError(f"it has no member {name!r}")


def decode(content: bytes) -> Any:
    """Return the document: dicts, lists, texts, numbers, and NumPy arrays for typed arrays.

    Raises:
        UbjsonError: the content is damaged.
    """
    with _damages(content):
        value, _ = _value(content, 0, 0)
    return value


@contextmanager
def _damages(content: bytes) -> Iterator[None]:
    """Report a read behind the last byte: so no single read has to look where the content ends."""
    try:
        yield
    except (IndexError, struct.error) as error:
        raise UbjsonError(
            f"it ends after {len(content)} bytes, in the middle of a value"
        ) from error


# A model has thousands of values, and is not loaded before all are read: each function here
# returns what begins at `place`, and where the next value begins.


def _value(content: bytes, place: int, depth: int) -> tuple[Any, int]:
    marker, place = content[place], place + 1
    if marker == _ARRAY:
        return _array(content, place, depth + 1)
    if marker == _TEXT:
        text, place = _text_at(content, place)
        return text.decode(errors="replace"), place
    if marker == _OBJECT:
        return _object(content, place, depth + 1)
    if marker in _NUMBERS:
        form = _NUMBERS[marker]
        return form.unpack_from(content, place)[0], place + form.size
    if marker in _CONSTANTS:
        return _CONSTANTS[marker], place
    raise UbjsonError(f"unknown type {chr(marker)!r} at byte {place - 1}")


def _object(content: bytes, place: int, depth: int) -> tuple[dict[str, Any], int]:
    _refuse_deeper(depth)
    members = {}
    while content[place] != _END:
        key, place = _text_at(content, place)
        members[key.decode(errors="replace")], place = _value(content, place, depth)
    return members, place + 1


def _array(content: bytes, place: int, depth: int) -> tuple[Any, int]:
    dtype = None
    if content[place] == _TYPE:
        dtype, place = _DTYPES.get(content[place + 1]), place + 2
        if dtype is None:
            marker = chr(content[place - 1])
            raise UbjsonError(f"unknown type {marker!r} of an array at byte {place - 1}")
    if content[place : place + 2] != b"#L":
        raise UbjsonError(f"an array without a count at byte {place}")
    (count,), place = _LENGTH.unpack_from(content, place + 2), place + 2 + _LENGTH.size
    if count < 0:
        raise UbjsonError(f"a negative length at byte {place}")
    if dtype is not None:
        end = place + count * dtype.itemsize
        if end > len(content):
            raise IndexError
        return np.frombuffer(content, dtype, count, place), end
    _refuse_deeper(depth)
    values = []
    for _ in range(count):  # each takes a byte or more, and the end of the content ends it
        value, place = _value(content, place, depth)
        values.append(value)
    return values, place


def _text_at(content: bytes, place: int) -> tuple[bytes, int]:
    if content[place] != _LONG:
        raise UbjsonError(f"a text without a length at byte {place}")
    (length,), start = _LENGTH.unpack_from(content, place + 1), place + 1 + _LENGTH.size
    if length < 0:
        raise UbjsonError(f"a negative length at byte {place}")
    if start + length > len(content):
        raise IndexError
    return content[start : start + length], start + length


def _refuse_deeper(depth: int) -> None:
    if depth > _DEEPEST:
        raise UbjsonError(f"it is nested more than {_DEEPEST} levels deep")
