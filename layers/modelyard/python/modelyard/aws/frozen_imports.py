"""Excludes the objects of a start-up from garbage collection."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def frozen_imports() -> Iterator[None]:
    """Exclude the objects that are created in this block from garbage collection.

    Imported modules are never garbage. Collections during imports take a tenth of a function's init
    phase, and a later full collection would delay an answer.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
