"""`modelyard serve`: the supervisor of a local server, in a folder of its own."""

import logging
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import uvloop

from modelyard.domain.endpoints import Endpoint
from modelyard.domain.errors import ModelyardError
from modelyard.local.layout import SUPERVISOR, Layout
from modelyard.local.listening import bound_sockets
from modelyard.local.logs import configure_logging
from modelyard.local.options import ServeOptions
from modelyard.local.signals import on_reload_signal, on_stop_signal
from modelyard.local.supervisor import Supervisor

logger = logging.getLogger(__name__)


def announce(url: str) -> None:
    """Print on standard output that the server listens."""
    sys.stdout.write(f"Modelyard is ready on {url}\n")
    sys.stdout.flush()


def serve(
    options: ServeOptions,
    on_ready: Callable[[str], None] = announce,
    read_endpoints: Callable[[], Sequence[Endpoint]] | None = None,
    before_listening: Callable[[], object] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then let running calls end. `on_ready` gets the URL.

    After SIGHUP, it serves the multi-model endpoints that `read_endpoints` returns, unless that
    raises a ModelyardError. `before_listening` runs in a thread while the workers start; an error
    that it raises ends the start.

    Raises:
        ConfigurationError: the port is taken, or the constructor of an API's class fails.
    """
    configure_logging(SUPERVISOR, options.log)
    if options.tls is not None:
        options.tls.context()
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        uvloop.run(_serve(options, Path(folder), on_ready, read_endpoints, before_listening))


async def _serve(
    options: ServeOptions,
    folder: Path,
    on_ready: Callable[[str], None],
    read_endpoints: Callable[[], Sequence[Endpoint]] | None,
    before_listening: Callable[[], object] | None,
) -> None:
    with ExitStack() as stack:
        # Bind first: a port that is taken is reported before any process starts.
        sockets = [stack.enter_context(one) for one in bound_sockets(options.host, options.port)]
        supervisor = Supervisor(Layout(options, folder), sockets)
        on_stop_signal(supervisor.stop)
        if read_endpoints is not None:
            on_reload_signal(partial(_reload, supervisor, read_endpoints))
        await supervisor.run(on_ready, before_listening)


def _reload(supervisor: Supervisor, read_endpoints: Callable[[], Sequence[Endpoint]]) -> None:
    try:
        supervisor.reload(read_endpoints())
    except ModelyardError as error:
        logger.error("config not reloaded", extra={"reason": error.message})
