"""Access rules: who may call which models. A deny wins; without an allow, a call is denied."""

import logging
import re
from collections.abc import Iterable
from functools import lru_cache

from modelyard.domain.endpoints import AccessRule, Endpoint
from modelyard.domain.errors import AccessDeniedError
from modelyard.domain.values import Principal, TargetModel

logger = logging.getLogger(__name__)


def authorize(endpoint: Endpoint, principal: Principal, target_model: TargetModel) -> None:
    """Return if the principal may call the model.

    Raises:
        AccessDeniedError: it may not. The message is the same whether or not the model exists.
    """
    if not is_allowed(endpoint, principal, target_model):
        logger.info(
            "refused by access rules",
            extra={"endpoint": endpoint.name, "principal": principal.name},
        )
        raise AccessDeniedError(
            f"{principal.name} is not allowed to call {target_model!r} of endpoint {endpoint.name}"
        )


def is_allowed(endpoint: Endpoint, principal: Principal, target_model: TargetModel) -> bool:
    """Return whether the principal may call the model."""
    if not endpoint.access:
        return True
    rules = _rules_of(endpoint, principal)
    if any(_matches_any(rule.deny, target_model) for rule in rules):
        return False
    return any(_matches_any(rule.allow, target_model) for rule in rules)


def may_call_something(endpoint: Endpoint, principal: Principal) -> bool:
    """Return whether a rule allows the principal at least one model, ignoring denies."""
    return not endpoint.access or any(rule.allow for rule in _rules_of(endpoint, principal))


def matches(glob: str, text: str) -> bool:
    """Return whether the glob matches the whole text.

    `*` matches any characters, including `/`; `?` matches one character. Case matters.
    """
    return _compiled(glob).fullmatch(text) is not None


def _rules_of(endpoint: Endpoint, principal: Principal) -> list[AccessRule]:
    return [
        rule
        for rule in endpoint.access
        if any(matches(rule.principal, name) for name in principal.names)
    ]


def _matches_any(globs: Iterable[str], text: str) -> bool:
    return any(matches(glob, text) for glob in globs)


@lru_cache(maxsize=4096)
def _compiled(glob: str) -> re.Pattern[str]:
    first, *rest = (re.escape(part).replace(r"\?", ".") for part in glob.split("*"))
    # Atomic groups prevent backtracking: for a glob, the first position that matches is as good as
    # any other. The time stays linear, however many stars there are.
    middle = "".join(f"(?>.*?{part})" for part in rest[:-1])
    return re.compile(first + middle + (f".*{rest[-1]}" if rest else ""), re.DOTALL)
