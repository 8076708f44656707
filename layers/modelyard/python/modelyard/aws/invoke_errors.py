"""What each error of Lambda's Invoke operation means for a call.

The table has every error of the operation in botocore's service model, so that none is classified
by accident; a test compares the two.
"""

from enum import Enum, auto


class Refusal(Enum):
    """Why Lambda did not run a function. It ran no code of the function in any of these cases."""

    STARTING = auto()
    """Lambda prepares the function, its network or its file system: it can be asked again."""
    BUSY = auto()
    """No execution environment is free, and none can be added at the moment."""
    TOO_LARGE = auto()
    """The request is larger than Lambda accepts."""
    BROKEN = auto()
    """The error stays until somebody changes the function or the router's role."""


REFUSALS = {
    # A function that was not called for weeks is inactive. Its next invocation fails and makes
    # Lambda prepare it again, which takes up to about 90 s; further ones fail as conflicts.
    "ResourceNotReadyException": Refusal.STARTING,
    "ResourceConflictException": Refusal.STARTING,
    "CodeArtifactUserDeletedException": Refusal.STARTING,
    "CodeArtifactUserPendingException": Refusal.STARTING,
    "ENINotReadyException": Refusal.STARTING,
    "EC2ThrottledException": Refusal.STARTING,
    "EC2UnexpectedException": Refusal.STARTING,
    "EFSIOException": Refusal.STARTING,
    "EFSMountConnectivityException": Refusal.STARTING,
    "EFSMountTimeoutException": Refusal.STARTING,
    "S3FilesMountConnectivityException": Refusal.STARTING,
    "S3FilesMountTimeoutException": Refusal.STARTING,
    "ServiceException": Refusal.STARTING,
    "SnapStartNotReadyException": Refusal.STARTING,
    "SnapStartRegenerationFailureException": Refusal.STARTING,
    "SnapStartTimeoutException": Refusal.STARTING,
    "ENILimitReachedException": Refusal.BUSY,
    "ServiceQuotaExceededException": Refusal.BUSY,
    "SubnetIPAddressLimitReachedException": Refusal.BUSY,
    "TooManyRequestsException": Refusal.BUSY,
    "RequestTooLargeException": Refusal.TOO_LARGE,
    "SerializedRequestEntityTooLargeException": Refusal.TOO_LARGE,
    "CodeArtifactUserFailedException": Refusal.BROKEN,
    "DurableExecutionAlreadyStartedException": Refusal.BROKEN,
    "EC2AccessDeniedException": Refusal.BROKEN,
    "EFSMountFailureException": Refusal.BROKEN,
    "InvalidParameterValueException": Refusal.BROKEN,
    "InvalidRequestContentException": Refusal.BROKEN,
    "InvalidRuntimeException": Refusal.BROKEN,
    "InvalidSecurityGroupIDException": Refusal.BROKEN,
    "InvalidSubnetIDException": Refusal.BROKEN,
    "InvalidZipFileException": Refusal.BROKEN,
    "KMSAccessDeniedException": Refusal.BROKEN,
    "KMSDisabledException": Refusal.BROKEN,
    "KMSInvalidStateException": Refusal.BROKEN,
    "KMSNotFoundException": Refusal.BROKEN,
    "ModeNotSupportedException": Refusal.BROKEN,
    "NoPublishedVersionException": Refusal.BROKEN,
    "RecursiveInvocationException": Refusal.BROKEN,
    "ResourceNotFoundException": Refusal.BROKEN,
    "RuntimeAliasDeletedException": Refusal.BROKEN,
    "RuntimeVersionDeletedException": Refusal.BROKEN,
    "S3FilesMountFailureException": Refusal.BROKEN,
    "SnapStartException": Refusal.BROKEN,
    "UnsupportedMediaTypeException": Refusal.BROKEN,
}
"""The errors of the operation, by code."""

_OF_EVERY_SERVICE = {
    "RequestLimitExceeded": Refusal.BUSY,
    "Throttling": Refusal.BUSY,
    "ThrottlingException": Refusal.BUSY,
}


def refusal(code: str, status: int) -> Refusal:
    """Return what an error means, of which Lambda sent the code and the HTTP status.

    A code in neither table is that of a passing fault if the status says that AWS is at fault.
    """
    known = REFUSALS.get(code) or _OF_EVERY_SERVICE.get(code)
    if known is not None:
        return known
    return Refusal.STARTING if status >= 500 else Refusal.BROKEN
