"""The addresses that a local server listens on, reserved before anything else is started."""

import errno
import socket

from modelyard.domain.errors import ConfigurationError

_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""Errors of an address family that this machine does not use, mostly IPv6."""


def bound_sockets(host: str, port: int, option: str = "--port") -> list[socket.socket]:
    """Return one socket for each address of `host`, bound to the port but not yet listening.

    All have the same port; 0 takes a free one. Until they listen, clients are refused. `option`
    is the one that chose the port.

    Raises:
        ConfigurationError: the port is taken or not permitted, or the host is not this machine.
    """
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in found:
            chosen_port = sockets[0].getsockname()[1] if sockets else port
            bound = _bound(family, (address[0], chosen_port, *address[2:]))
            if bound is not None:
                sockets.append(bound)
        if not sockets:
            raise OSError(errno.EADDRNOTAVAIL, "not an address of this machine")
    except OSError as error:
        for bound in sockets:
            bound.close()
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {_reason(error, option)}"
        ) from error
    return sockets


def url_of(bound: socket.socket, scheme: str = "http") -> str:
    """Return the URL of a server that listens on the socket."""
    host, port = bound.getsockname()[:2]
    name = f"[{host}]" if bound.family == socket.AF_INET6 else host
    return f"{scheme}://{name}:{port}"


def _bound(family: int, address: tuple[object, ...]) -> socket.socket | None:
    """Return a bound socket; None when this machine does not use the address."""
    try:
        made = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        if error.errno in _NOT_HERE:
            return None
        raise
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
    except OSError as error:
        made.close()
        if error.errno in _NOT_HERE:
            return None
        raise
    return made


def _reason(error: OSError, option: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"the port is taken; choose another one with {option}, or {option} 0 for a free one"
    if error.errno == errno.EACCES:
        return f"this user may not use the port; choose one above 1023 with {option}"
    return str(error.strerror or error)
