"""S3 as a role sees it: requests of a client are judged by the statements of a synthesised role."""

from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.awsrequest import AWSResponse

from tests.infra.synthesis import Resource, resources, text

Statement = Resource


def statements(template: Resource, role: str) -> list[Statement]:
    """Return what the policies of the role whose logical id begins with `role` allow."""
    (name,) = (name for name in resources(template, "IAM::Role") if name.startswith(role))
    kinds = ("IAM::Policy", "IAM::ManagedPolicy")
    return [
        statement
        for kind in kinds
        for policy in resources(template, kind).values()
        if {"Ref": name} in policy["Roles"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]


class Judge:
    """Answers 403 to what a role may not do, and 404 only to those who may list the key."""

    def __init__(self, allowed: list[Statement], owner: Any) -> None:
        """`owner` is a client that may do everything."""
        self._allowed = allowed
        self._owner = owner

    def watch(self, client: Any) -> None:
        client.meta.events.register("before-send.s3", self._answer)

    def _answer(self, request: Any, **_: Any) -> AWSResponse | None:
        url = urlsplit(request.url)
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        if not key:
            prefix = parse_qs(url.query).get("prefix", [""])[0]
            return None if self._may_list(bucket, prefix) else _response(request, 403)
        if not self._allows("s3:GetObject", f"{bucket}/{key}", {}):
            return _response(request, 403)
        if self._exists(bucket, key) or self._may_list(bucket, key):
            return None
        return _response(request, 403)

    def _may_list(self, bucket: str, prefix: str) -> bool:
        return self._allows("s3:ListBucket", bucket, {"s3:prefix": prefix})

    def _exists(self, bucket: str, key: str) -> bool:
        found = self._owner.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents", [])
        return any(item["Key"] == key for item in found)

    def _allows(self, action: str, resource: str, facts: dict[str, str]) -> bool:
        return any(
            action in _listed(one["Action"])
            and any(fnmatchcase(resource, pattern) for pattern in _resources(one))
            and all(
                any(fnmatchcase(facts.get(key, ""), pattern) for pattern in _listed(patterns))
                for key, patterns in one.get("Condition", {}).get("StringLike", {}).items()
            )
            for one in self._allowed
        )


def _resources(statement: Statement) -> list[str]:
    arns = map(text, _listed(statement["Resource"]))
    return [arn.rpartition(":::")[2] for arn in arns]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class _Empty:
    def stream(self, *_: Any, **__: Any) -> list[bytes]:
        return []


def _response(request: Any, status: int) -> AWSResponse:
    return AWSResponse(request.url, status, {}, _Empty())
