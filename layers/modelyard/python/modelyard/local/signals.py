"""Signals that ask a server to stop, or to read its config again."""

import asyncio
import signal
from collections.abc import Callable


def on_reload_signal(reload: Callable[[], None]) -> None:
    """Call `reload` when SIGHUP comes, from now on."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)


def on_stop_signal(stop: Callable[[], None]) -> None:
    """Call `stop` when SIGTERM or SIGINT comes, from now on."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
