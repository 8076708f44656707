import socket

import pytest

from modelyard.domain.errors import ConfigurationError
from modelyard.local.listening import bound_sockets, url_of


def test_port_that_another_server_listens_on_is_refused_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(ConfigurationError) as refused:
            bound_sockets("127.0.0.1", port)

    assert refused.value.message.startswith(f"cannot listen on 127.0.0.1:{port}: the port is taken")
    assert "--port 0" in refused.value.message


@pytest.mark.parametrize("host", ["192.0.2.1", "not-a-host.invalid"])
def test_host_that_is_not_this_machine_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot listen on {host}:0: "):
        bound_sockets(host, 0)


def test_all_addresses_of_a_host_have_one_port() -> None:
    sockets = bound_sockets("localhost", 0)
    try:
        assert len({bound.getsockname()[1] for bound in sockets}) == 1
    finally:
        for bound in sockets:
            bound.close()


def test_clients_are_refused_until_the_socket_listens() -> None:
    (bound,) = bound_sockets("127.0.0.1", 0)
    with bound:
        address = bound.getsockname()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=10)
        bound.listen()

        socket.create_connection(address, timeout=10).close()
        assert url_of(bound) == f"http://127.0.0.1:{address[1]}"
