"""A daily invocation of each function, so that Lambda never makes it inactive.

Lambda does so after some weeks without an invocation (for versions with a snapshot, 14 days), and
the next invocation then waits until the function is active again.
"""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelyard.aws.function_table import EndpointFunctions

EVENT = {"keep_awake": True}
_TENANT = "keep-awake"
"""With tenant isolation, each invocation needs a tenant."""


def is_keep_awake(event: Mapping[str, Any]) -> bool:
    """Return whether an event only has to be answered."""
    return "keep_awake" in event


def invoke_all(client: Any, endpoints: Iterable["EndpointFunctions"]) -> int:
    """Invoke each inference function, without waiting for it; return how many there are.

    Raises:
        ClientError: Lambda refuses an invocation.
    """
    count = 0
    for functions in endpoints:
        tenant = {"TenantId": _TENANT} if functions.per_tenant else {}
        for shard in range(functions.shards):
            client.invoke(
                FunctionName=functions.function_name(shard),
                InvocationType="Event",
                Payload=json.dumps(EVENT).encode(),
                **tenant,
            )
            count += 1
    return count
