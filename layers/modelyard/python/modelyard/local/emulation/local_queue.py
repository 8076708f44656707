"""Creates the warm queue and its dead-letter queue on an SQS server, possibly in this process."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import botocore.session
from botocore.credentials import ReadOnlyCredentials

from modelyard.aws.deployed import MAX_RECEIVES
from modelyard.local.emulation.definitions import REGION

_FIFO = {"FifoQueue": "true"}


@dataclass(frozen=True, slots=True)
class LocalQueue:
    """A queue that was created."""

    client: Any
    url: str
    arn: str


@dataclass(frozen=True, slots=True)
class Account:
    """The user's AWS settings, with defaults for those that are missing."""

    region: str
    keys: tuple[str, str] | None
    """Made-up keys if the user has none, because SDKs sign requests to local servers, too."""

    @classmethod
    def find(cls) -> Self:
        """Return the settings that the SDK finds."""
        session = botocore.session.get_session()
        region = session.get_config_variable("region") or REGION
        return cls(region, None if session.get_credentials() else ("local", "local"))

    def client(self, service: str, endpoint_url: str) -> Any:
        """Return an SDK client with these settings."""
        return self._session().create_client(
            service, region_name=self.region, endpoint_url=endpoint_url
        )

    def credentials(self) -> ReadOnlyCredentials:
        """Return the credentials that the SDK finds now, or else the made-up keys."""
        found = self._session().get_credentials()
        assert found is not None  # they were found, or are made up
        return found.get_frozen_credentials()

    def _session(self) -> botocore.session.Session:
        session = botocore.session.get_session()
        if self.keys is not None:
            session.set_credentials(*self.keys)
        return session


@contextmanager
def aws_server() -> Iterator[str]:
    """Run SQS and SSM on a free loopback port; what they hold is lost when it stops."""
    from moto.server import ThreadedMotoServer  # takes seconds, and a user may have an SQS

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # it logs every request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def create_queue(
    account: Account,
    endpoint_url: str,
    name: str,
    visibility_s: int,
    max_receives: int = MAX_RECEIVES,
) -> LocalQueue:
    """Create a FIFO queue whose messages go to a dead-letter queue after the last receipt."""
    client = account.client("sqs", endpoint_url)
    dead_letters = _create(client, f"{name}-dead.fifo", _FIFO)
    redrive = {"deadLetterTargetArn": dead_letters.arn, "maxReceiveCount": max_receives}
    attributes = {"VisibilityTimeout": str(visibility_s), "RedrivePolicy": json.dumps(redrive)}
    return _create(client, f"{name}.fifo", _FIFO | attributes)


def _create(client: Any, name: str, attributes: dict[str, str]) -> LocalQueue:
    url = client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    found = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return LocalQueue(client, url, found["Attributes"]["QueueArn"])
