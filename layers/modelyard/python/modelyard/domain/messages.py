"""The wording of facts that several rooms report.

The first two texts are those of the AWS service: people search their logs for them
(docs/sagemaker.md).
"""

MODEL_TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the"
    " latency metrics of the model and the time it takes to answer."
)
MODEL_PROCESS_EXITED = "An error occurred while handling request as the model process exited."
NO_AWS_CREDENTIALS = (
    "No AWS credentials found; configure them: `aws configure`, AWS_PROFILE, or AWS_ACCESS_KEY_ID"
    " and AWS_SECRET_ACCESS_KEY."
)
INTERNAL_ERROR = "internal error, see the log"


def not_ready(target_model: str) -> str:
    """Return the message of a ModelNotReadyError."""
    return f"Model {target_model} is not ready yet: it is being loaded. Retry the request."


def function_starting(target_model: str) -> str:
    """Return the message of a ModelNotReadyError if Lambda prepares the model's function."""
    return f"Model {target_model} is not ready yet: its function is starting. Retry the request."


def wrong_aws_settings(error: Exception) -> str:
    """Return the message of a ConfigurationError about settings that the AWS SDK rejects."""
    return f"the AWS settings are wrong: {error}"


def queue_unusable(queue: str, error: Exception) -> str:
    """Return the message of a DependencyError about the queue of this name."""
    return f"the {queue} queue cannot be used: {error}"
