"""What a process makes as it starts stays until its end."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lifelong() -> Iterator[None]:
    """Keep all that comes into being here from the garbage collector.

    Its looks through modules that are never garbage are a tenth of a function's init phase, and
    later ones would stall an answer.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
