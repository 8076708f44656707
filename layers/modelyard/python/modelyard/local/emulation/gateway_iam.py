"""What API Gateway does with `AWS_IAM`: it verifies the signature of a request (SigV4)."""

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from modelyard.local.emulation.definitions import ACCOUNT
from modelyard.local.emulation.gateway import HttpRequest

SERVICE = "execute-api"
USER_ARN = f"arn:aws:iam::{ACCOUNT}:user/local"
"""Whose requests are signed with the credentials of this machine."""
MAX_AGE_S = 300.0
_TIME = "%Y%m%dT%H%M%SZ"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=(?P<key>[^/,]+)/\d{8}/(?P<region>[^/,]+)/(?P<service>[^/,]+)"
    r"/aws4_request, *SignedHeaders=(?P<headers>[^,]+), *Signature=(?P<signature>[0-9a-f]{64})"
)


class RefusedRequestError(Exception):
    """API Gateway refuses the request with a response of the type `kind`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


def unsigned() -> RefusedRequestError:
    """Return the refusal of a request without a signature, or of one that matches no method."""
    return RefusedRequestError("MISSING_AUTHENTICATION_TOKEN", "Missing Authentication Token")


@dataclass(frozen=True, slots=True)
class IamAuthorizer:
    """Accepts requests that are signed with one pair of keys."""

    credentials: Callable[[], ReadOnlyCredentials]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def user_arn(self, request: HttpRequest) -> str:
        """Return the ARN of the caller.

        Raises:
            RefusedRequestError: the request has no signature, or one that is not accepted.
        """
        headers = {name.lower(): value for name, value in request.headers}
        if "authorization" not in headers:
            raise unsigned()
        parts = _AUTHORIZATION.fullmatch(headers["authorization"])
        if parts is None:
            raise _invalid("Authorization header is not in the form of AWS4-HMAC-SHA256.")
        if parts["service"] != SERVICE:
            raise _invalid(f"Credential should be scoped to correct service: '{SERVICE}'.")
        keys = self.credentials()
        token = headers.get("x-amz-security-token")
        if (parts["key"], token) != (keys.access_key, keys.token):
            raise _invalid("The security token included in the request is invalid.")
        self._check_age(headers.get("x-amz-date", ""))
        signed = {name: headers.get(name, "") for name in parts["headers"].split(";")}
        expected = _signature(request, signed, keys, parts["region"])
        if not hmac.compare_digest(expected, parts["signature"]):
            raise _invalid(
                "The request signature we calculated does not match the signature you provided."
                " Check your AWS Secret Access Key and signing method."
            )
        return USER_ARN

    def _check_age(self, signed_at: str) -> None:
        try:
            moment = datetime.strptime(signed_at, _TIME).replace(tzinfo=UTC)
        except ValueError:
            raise _invalid("Date must be in the form YYYYMMDD'T'HHMMSS'Z'.") from None
        if abs((self.now() - moment).total_seconds()) > MAX_AGE_S:
            raise _invalid(f"Signature expired: {signed_at} is not within 5 min of now.")


def _signature(
    request: HttpRequest, signed: dict[str, str], keys: ReadOnlyCredentials, region: str
) -> str:
    """Return the signature that a request with these signed headers must have."""
    query = f"?{request.query}" if request.query else ""
    url = f"http://{signed.get('host', '')}{request.raw_path}{query}"
    again = AWSRequest(request.method, url, headers=signed, data=request.body)
    again.context["timestamp"] = signed.get("x-amz-date", "")
    signer = SigV4Auth(keys, SERVICE, region)
    text = signer.string_to_sign(again, signer.canonical_request(again))
    return str(signer.signature(text, again))


def _invalid(message: str) -> RefusedRequestError:
    return RefusedRequestError("INVALID_SIGNATURE", message)
