"""Processes that start quickly: forked from a server that has imported what they need."""

import multiprocessing
from multiprocessing.context import ForkServerContext

_PRELOADED = [
    "modelyard.repositories.s3",
    "pytest",
    "rich.table",
    "tests.faults.worker",
    "tests.unit.inference.residence.test_residence",
]


def processes() -> ForkServerContext:
    """Return the context that starts processes from one fork server, which the first use starts."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context
