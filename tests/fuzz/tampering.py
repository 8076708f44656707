"""Changes single members of JSON documents: what a fuzzer of bytes hardly ever does by itself."""

from typing import Any

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 2**63, -(2**31), 1e308, "", "a", "..", "\ud800", "\x00"),
    *([], {}, [[]], [None], [["a", 1]], {"a": None}, ["a", "b", "c"], "x" * 3000),
)


def tampered(document: Any, choices: bytes) -> Any:
    """Return the document with a change for each pair of bytes: which member, which value."""
    for place, value in zip(choices[::2], choices[1::2], strict=False):
        paths = list(_paths(document, ()))
        path = paths[place % len(paths)]
        document = _changed(document, path, value)
    return document


def _paths(document: Any, above: tuple[Any, ...]) -> Any:
    yield above
    items = document.items() if isinstance(document, dict) else ()
    items = enumerate(document) if isinstance(document, list) else items
    for key, value in items:
        yield from _paths(value, (*above, key))


def _changed(document: Any, path: tuple[Any, ...], value: int) -> Any:
    if not path:
        return ODD[value % len(ODD)]
    key, *below = path
    copy = dict(document) if isinstance(document, dict) else list(document)
    if not below and value >= 250 and isinstance(copy, dict):
        del copy[key]
        return copy
    copy[key] = _changed(copy[key], tuple(below), value)
    return copy
