"""The table of Lambda's errors against the service model of the installed SDK."""

import pytest
from botocore.session import get_session

from modelyard.aws.invoke_errors import REFUSALS, Refusal, refusal


def test_table_has_every_error_that_the_sdk_knows_and_no_other() -> None:
    invoke = get_session().get_service_model("lambda").operation_model("Invoke")

    assert REFUSALS.keys() == {shape.name for shape in invoke.error_shapes}


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("ResourceNotReadyException", 502, Refusal.STARTING),
        ("EFSMountTimeoutException", 408, Refusal.STARTING),
        ("TooManyRequestsException", 429, Refusal.BUSY),
        ("ThrottlingException", 400, Refusal.BUSY),
        ("RequestTooLargeException", 413, Refusal.TOO_LARGE),
        ("KMSAccessDeniedException", 502, Refusal.BROKEN),
        ("AccessDeniedException", 403, Refusal.BROKEN),
        ("InternalFailure", 500, Refusal.STARTING),
    ],
)
def test_error_is_judged_by_its_code_and_an_unknown_one_by_its_status(
    code: str, status: int, expected: Refusal
) -> None:
    assert refusal(code, status) is expected
