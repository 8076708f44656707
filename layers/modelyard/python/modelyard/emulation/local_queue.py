"""The warm queue and its dead-letter queue, on an SQS within this process or on one given."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import botocore.session

MAX_RECEIVE_COUNT = 5
_FIFO = {"FifoQueue": "true"}


@dataclass(frozen=True, slots=True)
class LocalQueue:
    """A queue that exists."""

    client: Any
    url: str
    arn: str


@contextmanager
def sqs_server() -> Iterator[str]:
    """Run an SQS on a free port of the loopback address; messages live as long as it does."""
    from moto.server import ThreadedMotoServer  # seconds, and only where no SQS was given

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def create_queue(
    endpoint_url: str, region: str, name: str, visibility_s: int, keys: tuple[str, str] | None
) -> LocalQueue:
    """Create a FIFO queue whose messages go to a dead-letter queue after the fifth receipt."""
    session = botocore.session.get_session()
    if keys is not None:
        session.set_credentials(*keys)
    client = session.create_client("sqs", region_name=region, endpoint_url=endpoint_url)
    buried = _create(client, f"{name}-dead.fifo", _FIFO)
    redrive = {"deadLetterTargetArn": buried.arn, "maxReceiveCount": MAX_RECEIVE_COUNT}
    attributes = {"VisibilityTimeout": str(visibility_s), "RedrivePolicy": json.dumps(redrive)}
    return _create(client, f"{name}.fifo", _FIFO | attributes)


def _create(client: Any, name: str, attributes: dict[str, str]) -> LocalQueue:
    url = client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    found = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return LocalQueue(client, url, found["Attributes"]["QueueArn"])
