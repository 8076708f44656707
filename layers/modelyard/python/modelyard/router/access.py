"""Access rules: who may call which models. A deny wins; without an allow, a call is denied.

A call is judged by the name it gives, and by the files that a load would open: all those in a
folder, and those that links lead to.
"""

import logging
from collections.abc import Iterable, Sequence

from modelyard.domain.endpoints import AccessRule, Endpoint
from modelyard.domain.errors import AccessDeniedError
from modelyard.domain.globs import matches
from modelyard.domain.values import Principal, StoredObject, TargetModel

logger = logging.getLogger(__name__)


def refusal(endpoint: Endpoint, principal: Principal) -> AccessDeniedError:
    """Return the error for a refused call, and log it.

    Its message is the same whether or not the model exists. It does not name the model, which an
    inference component may stand for.
    """
    logger.info(
        "refused by access rules",
        extra={"endpoint": endpoint.name, "principal": principal.name},
    )
    return AccessDeniedError(
        f"{principal.name} is not allowed to call this model of endpoint {endpoint.name}"
    )


def is_allowed(endpoint: Endpoint, principal: Principal, target_model: TargetModel) -> bool:
    """Return whether the rules allow the principal this name. `may_open` judges the files."""
    if not endpoint.access:
        return True
    rules = _rules_of(endpoint, principal)
    if any(_matches_any(rule.deny, target_model) for rule in rules):
        return False
    return any(_matches_any(rule.allow, target_model) for rule in rules)


def depends_on_files(endpoint: Endpoint, principal: Principal, target_model: TargetModel) -> bool:
    """Return whether the files behind an allowed name may be denied to the principal.

    They may where a rule can deny something in a folder of this name, and where the repository is a
    folder, which may have links.
    """
    if not endpoint.access:
        return False
    return endpoint.repository.startswith("file:") or _may_deny_below(
        endpoint, principal, target_model
    )


def may_open(
    endpoint: Endpoint,
    principal: Principal,
    target_model: TargetModel,
    files: Sequence[StoredObject],
) -> bool:
    """Return whether the principal may open the files behind a name that `is_allowed`.

    `files` are all that a load would open. Where there are none, a name is refused if a folder of
    this name could be: so a refusal does not tell that there is one.
    """
    if not endpoint.access:
        return True
    if not files:
        return not _may_deny_below(endpoint, principal, target_model)
    deny = [glob for rule in _rules_of(endpoint, principal) for glob in rule.deny]
    return not any(_matches_any(deny, file.key) for file in files) and all(
        is_allowed(endpoint, principal, TargetModel(file.links_to))
        for file in files
        if file.links_to is not None
    )


def may_call_something(endpoint: Endpoint, principal: Principal) -> bool:
    """Return whether a rule allows the principal at least one model, ignoring denies."""
    return not endpoint.access or any(rule.allow for rule in _rules_of(endpoint, principal))


def may_match_below(glob: str, folder: str) -> bool:
    """Return whether the glob matches the path of anything that could be in the folder."""
    # What is left of the glob after each way to match the folder's name; most have one or none.
    rests = {glob}
    for character in f"{folder}/":
        rests = {rest for left in rests for rest in _rests_after(character, left)}
    return any(rests)


def _rests_after(character: str, glob: str) -> set[str]:
    unstarred = glob.lstrip("*")
    rests = {glob} if unstarred != glob else set()
    if unstarred[:1] in ("?", character):
        rests.add(unstarred[1:])
    return rests


def _may_deny_below(endpoint: Endpoint, principal: Principal, target_model: TargetModel) -> bool:
    rules = _rules_of(endpoint, principal)
    return any(may_match_below(glob, target_model) for rule in rules for glob in rule.deny)


def _rules_of(endpoint: Endpoint, principal: Principal) -> list[AccessRule]:
    return [
        rule
        for rule in endpoint.access
        if any(matches(rule.principal, name) for name in principal.names)
    ]


def _matches_any(globs: Iterable[str], text: str) -> bool:
    return any(matches(glob, text) for glob in globs)
