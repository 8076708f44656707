"""The local server: the worker processes and the router's web app."""

import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from modelyard.domain.system_clock import SystemClock
from modelyard.local.listening import bound_sockets
from modelyard.local.logs import configure_logging
from modelyard.local.options import ServeOptions
from modelyard.local.pools import Pools


def announce(url: str) -> None:
    """Print on standard output that the server listens."""
    sys.stdout.write(f"Modelyard is ready on {url}\n")
    sys.stdout.flush()


def serve(options: ServeOptions, on_ready: Callable[[str], None] = announce) -> None:
    """Serve until SIGTERM or SIGINT, then let running calls end. `on_ready` gets the URL.

    Raises:
        ConfigurationError: the port is taken, or the constructor of an API's class fails.
    """
    configure_logging("server")
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        uvloop.run(_serve(options, Path(folder), on_ready))


async def _serve(options: ServeOptions, socket_dir: Path, on_ready: Callable[[str], None]) -> None:
    pools = Pools(options.endpoints, options.apis, options.limits)
    async with AsyncExitStack() as stack:
        # Bind first: a port that is taken is reported before any process starts.
        sockets = bound_sockets(options.host, options.port)
        for bound in sockets:
            stack.enter_context(bound)
        started = await pools.start(stack, socket_dir, SystemClock())
        # This import takes 0.25 s; meanwhile the workers run their own imports.
        from modelyard.local.front import answer_calls

        await answer_calls(options, started, sockets, on_ready)
