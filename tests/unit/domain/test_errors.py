"""The tree in the docstring of `domain.errors` is the tree of the classes."""

import re

from modelyard.domain import errors
from modelyard.domain.errors import ModelyardError


def drawn_tree() -> dict[str, str]:
    """Return the parent of every class that the docstring draws."""
    assert errors.__doc__ is not None
    parents: dict[str, str] = {}
    path: list[str] = []
    for match in re.finditer(r"^((?:[│├└ ][─ ]{3})*)(\w+Error)\b", errors.__doc__, re.MULTILINE):
        depth = len(match[1]) // 4
        path[depth:] = [match[2]]
        if depth:
            parents[match[2]] = path[depth - 1]
    return parents


def test_drawn_tree_is_the_tree_of_the_classes() -> None:
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type)]

    actual = {
        kind.__name__: kind.__bases__[0].__name__
        for kind in classes
        if issubclass(kind, ModelyardError) and kind is not ModelyardError
    }

    assert drawn_tree() == actual
