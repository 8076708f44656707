"""Uploads models to the bucket of an endpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelyard.clients.sdk import import_boto3
from modelyard.domain import messages
from modelyard.domain.errors import ConfigurationError, DependencyError


def upload_model(
    file: Path, repository: str, name: str, advance: Callable[[int], None], client: Any = None
) -> str:
    """Upload a file as the model `name` of the repository `s3://bucket/prefix/`; return its URI.

    `advance` is called with the number of bytes of each part. S3 shows an object when all of it
    is there, so no call sees a part of a model. `client` is boto3's for S3.

    Raises:
        ConfigurationError: boto3 is missing or finds no credentials.
        DependencyError: S3 refuses the upload.
    """
    boto3 = import_boto3()
    from boto3.exceptions import S3UploadFailedError
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    bucket, _, prefix = repository.removeprefix("s3://").partition("/")
    try:
        (client or boto3.client("s3")).upload_file(
            str(file), bucket, prefix + name, Callback=advance
        )
    except NoCredentialsError as error:
        raise ConfigurationError(messages.NO_AWS_CREDENTIALS) from error
    except (BotoCoreError, ClientError, S3UploadFailedError) as error:
        raise DependencyError(f"{name} was not uploaded: {error}") from error
    return f"s3://{bucket}/{prefix}{name}"
