"""Topics of SNS, which are told what became of asynchronous invocations."""

import threading
from typing import Any

from modelyard.domain.errors import DependencyError


class Topics:
    """The topics that messages are published to. Safe to share between threads."""

    def __init__(self) -> None:
        self._clients: dict[str, Any] = {}
        self._building = threading.Lock()

    def publish(self, topic: str, message: str) -> None:
        """Publish a message to the topic of this ARN, in the region that the ARN names.

        Endpoint and credentials come from the usual AWS settings.

        Raises:
            DependencyError: SNS refuses the message or cannot be reached.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # only topics need the SDK

        try:
            self._client(topic_region(topic)).publish(TopicArn=topic, Message=message)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            raise DependencyError(f"{topic} cannot be used: SNS answered {code}") from error
        except (BotoCoreError, OSError, ValueError) as error:
            reason = type(error).__name__
            raise DependencyError(f"{topic} cannot be used: {reason}") from error

    def _client(self, region: str) -> Any:
        with self._building:
            if region not in self._clients:
                self._clients[region] = _build_client(region)
            return self._clients[region]


def topic_region(topic: str) -> str:
    """Return the region of a topic."""
    return topic.split(":")[3]


def _build_client(region: str) -> Any:
    from botocore.config import Config
    from botocore.session import get_session

    config = Config(
        connect_timeout=2,
        read_timeout=5,
        retries={"mode": "standard", "total_max_attempts": 2},
        user_agent_extra="modelyard",
    )
    return get_session().create_client("sns", region_name=region, config=config)
