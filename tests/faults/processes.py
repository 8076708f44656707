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
    """Return the one way to start them: there is one server, and whoever is first sets it up."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context
