"""Signals that ask a server to stop."""

import asyncio
import signal


def stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set from now on."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping
