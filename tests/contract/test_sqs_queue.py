"""The warm queue on AWS, over a server that speaks SQS: FIFO groups, deduplication, redrive."""

import itertools
import json
from typing import Any

import boto3
import pytest

from modelyard.aws.dead_letters import SqsDeadLetters
from modelyard.aws.sqs_queue import DEDUPLICATION_BUCKET_S, SqsQueue
from modelyard.domain.errors import DependencyError
from modelyard.domain.values import Delivery, TargetModel, WarmDelivery, WarmRequest
from modelyard.domain.warm_message import WARM_MESSAGES, parse_warm_message
from modelyard.router.warming import RETRY_DELAY_S
from tests.fakes.clock import FakeClock

MAX_RECEIVES = 3
HOUSTON = WarmRequest("housing", TargetModel("Houston_TX.tar.gz"))
AUSTIN = WarmRequest("housing", TargetModel("Austin_TX.tar.gz"))
_numbers = itertools.count()


class Scene:
    """A queue with its dead-letter queue."""

    def __init__(self, endpoint: str) -> None:
        session = boto3.session.Session("test-key", "test-secret", region_name="us-east-1")
        self.client: Any = session.client("sqs", endpoint_url=endpoint)
        number = next(_numbers)
        self.dead_url = self._create(f"dead-{number}.fifo")
        policy = {
            "deadLetterTargetArn": self.arn_of(self.dead_url),
            "maxReceiveCount": MAX_RECEIVES,
        }
        self.url = self._create(f"warm-{number}.fifo", RedrivePolicy=json.dumps(policy))
        self.clock = FakeClock()
        self.queue = SqsQueue(self.url, lambda: self.client, self.clock, WARM_MESSAGES)
        self.dead_letters = SqsDeadLetters(self.dead_url, self.client)

    def _create(self, name: str, **attributes: str) -> str:
        attributes |= {"FifoQueue": "true", "VisibilityTimeout": "600"}
        url: str = self.client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return url

    def arn_of(self, url: str) -> str:
        answer = self.client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        arn: str = answer["Attributes"]["QueueArn"]
        return arn

    def receive(self) -> WarmDelivery | None:
        """Return the next message, as Lambda's event source hands it to the warmer."""
        answer = self.client.receive_message(
            QueueUrl=self.url, MessageSystemAttributeNames=["ApproximateReceiveCount"]
        )
        for message in answer.get("Messages", []):
            attempt = int(message["Attributes"]["ApproximateReceiveCount"])
            request = parse_warm_message(message["Body"])
            return Delivery(request, message["ReceiptHandle"], attempt)
        return None

    def take(self) -> WarmDelivery:
        delivery = self.receive()
        assert delivery is not None
        return delivery


class Moves:
    """A client that has the one operation that moto does not have."""

    def __init__(self, client: Any) -> None:
        self.get_queue_attributes = client.get_queue_attributes
        self.started: list[str] = []

    def start_message_move_task(self, *, SourceArn: str) -> None:  # noqa: N803
        self.started.append(SourceArn)


@pytest.fixture
def scene(s3_endpoint: str) -> Scene:
    return Scene(s3_endpoint)


def test_empty_queue_has_nothing(scene: Scene) -> None:
    assert scene.receive() is None


def test_request_is_received_as_it_was_sent(scene: Scene) -> None:
    scene.queue.send(HOUSTON)

    delivery = scene.take()

    assert delivery.request == HOUSTON
    assert delivery.attempt == 1


def test_storm_of_one_moment_makes_one_message(scene: Scene) -> None:
    for _ in range(20):
        scene.queue.send(HOUSTON)

    scene.queue.delete(scene.take())

    assert scene.receive() is None


def test_storm_of_another_moment_makes_another_message(scene: Scene) -> None:
    scene.queue.send(HOUSTON)
    scene.queue.delete(scene.take())
    scene.clock.advance(DEDUPLICATION_BUCKET_S)

    scene.queue.send(HOUSTON)

    assert scene.take().request == HOUSTON


def test_a_failing_message_outlives_its_bucket() -> None:
    """What deduplication drops has a twin that is still on the queue."""
    retries = 4  # of a message that may be received five times
    life_s = sum(RETRY_DELAY_S * attempt for attempt in range(1, retries + 1))

    assert life_s > DEDUPLICATION_BUCKET_S


def test_models_do_not_wait_for_each_other(scene: Scene) -> None:
    scene.queue.send(HOUSTON)
    scene.queue.send(AUSTIN)

    assert {scene.take().request for _ in range(2)} == {HOUSTON, AUSTIN}


def test_one_model_is_warmed_by_one_warmer(scene: Scene) -> None:
    scene.queue.send(HOUSTON)
    scene.clock.advance(DEDUPLICATION_BUCKET_S)
    scene.queue.send(HOUSTON)
    first = scene.take()

    assert scene.receive() is None
    scene.queue.delete(first)
    assert scene.take().request == HOUSTON


def test_failed_message_comes_back(scene: Scene) -> None:
    scene.queue.send(HOUSTON)

    scene.queue.retry(scene.take(), 0)

    assert scene.take().attempt == 2


def test_hidden_message_does_not_come_back_meanwhile(scene: Scene) -> None:
    scene.queue.send(HOUSTON)
    delivery = scene.take()

    scene.queue.hide(delivery, 100)

    assert scene.receive() is None


def test_message_that_keeps_failing_is_a_dead_letter(scene: Scene) -> None:
    scene.queue.send(HOUSTON)
    for _ in range(MAX_RECEIVES):
        scene.queue.retry(scene.take(), 0)

    assert scene.receive() is None
    assert [letter.request for letter in scene.dead_letters.all()] == [HOUSTON]


def test_dead_letters_can_be_listed_again_at_once(scene: Scene) -> None:
    for number in range(12):  # more than SQS returns in one answer
        scene.queue.send(WarmRequest("housing", TargetModel(f"{number}.onnx")))
    while (delivery := scene.receive()) is not None:
        scene.queue.retry(delivery, 0)

    first = scene.dead_letters.all()

    assert len(first) == 12
    assert [letter.failed_at for letter in first] == sorted(letter.failed_at for letter in first)
    assert scene.dead_letters.all() == first


def test_redrive_asks_sqs_to_move_the_messages_to_where_they_came_from(scene: Scene) -> None:
    scene.queue.send(HOUSTON)
    while (delivery := scene.receive()) is not None:
        scene.queue.retry(delivery, 0)
    moves = Moves(scene.client)

    count = SqsDeadLetters(scene.dead_url, moves).redrive()

    assert count == 1
    assert moves.started == [scene.arn_of(scene.dead_url)]


def test_redrive_that_sqs_refuses_is_a_dependency(scene: Scene) -> None:
    dead_letters = SqsDeadLetters(f"{scene.dead_url}-gone", scene.client)

    with pytest.raises(DependencyError, match="cannot be moved"):
        dead_letters.redrive()


def test_queue_that_is_not_there_is_a_dependency(scene: Scene) -> None:
    queue = SqsQueue(f"{scene.url}-gone", lambda: scene.client, scene.clock, WARM_MESSAGES)

    with pytest.raises(DependencyError, match="warm queue"):
        queue.send(HOUSTON)
