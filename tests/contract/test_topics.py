"""Topics of SNS, which tell what became of asynchronous invocations."""

import json
from typing import Any

import boto3
import pytest

from modelyard.domain.errors import DependencyError
from modelyard.repositories.topics import Topics
from tests.serving import KEYS


@pytest.fixture
def account(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> boto3.session.Session:
    """A session without a region: the topics' ARNs name it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", s3_endpoint)
    for name, value in KEYS.items():
        monkeypatch.setenv(name.upper(), value)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    return boto3.session.Session(**KEYS)


def test_subscriber_gets_the_message_in_the_region_of_the_topic(
    account: boto3.session.Session, s3_endpoint: str
) -> None:
    sns, sqs = (
        account.client(name, region_name="eu-west-1", endpoint_url=s3_endpoint)
        for name in ("sns", "sqs")
    )
    topic = sns.create_topic(Name="told")["TopicArn"]
    queue = sqs.create_queue(QueueName="subscriber")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["QueueArn"])

    Topics().publish(topic, "done")

    (received,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    envelope: dict[str, Any] = json.loads(received["Body"])
    assert (envelope["TopicArn"], envelope["Message"]) == (topic, "done")
    assert ":eu-west-1:" in topic


@pytest.mark.usefixtures("account")
def test_missing_topic_is_a_dependency_error() -> None:
    with pytest.raises(DependencyError, match="none cannot be used: SNS answered NotFound"):
        Topics().publish("arn:aws:sns:eu-west-1:123456789012:none", "done")


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "not a URL"])
def test_sns_out_of_reach_is_a_dependency_error(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", endpoint)

    with pytest.raises(DependencyError, match="told cannot be used: "):
        Topics().publish("arn:aws:sns:eu-west-1:123456789012:told", "done")
