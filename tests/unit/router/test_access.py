import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.domain.endpoints import AccessRule, Endpoint
from modelyard.domain.errors import InvalidRequestError
from modelyard.domain.globs import matches
from modelyard.domain.values import Principal, StoredObject, TargetModel
from modelyard.router.access import (
    is_allowed,
    may_call_something,
    may_match_below,
    may_open,
    refusal,
)
from modelyard.sagemaker.target_model import parse_target_model

ROLE = "arn:aws:iam::111122223333:role/team-a"
SESSION = Principal("arn:aws:sts::111122223333:assumed-role/team-a/alice", ROLE)
TENANT = AccessRule("tenant-a", allow=("company_a/*",))
A = Principal("tenant-a")

# The characters that names are attacked with, so that random texts are hostile ones.
HOSTILE = st.text(st.sampled_from("ab_/.\\ %~*?cC"), max_size=16)
OTHERS = st.sampled_from(["company_b", "company_B", "Company_a", "company_ab", "company"])
SPELLINGS = st.builds("".join, st.lists(HOSTILE | OTHERS | st.just("company_a/"), max_size=4))
GLOBS = st.text(st.sampled_from("ab/*?.[]"), max_size=8)
NAMES = st.text(st.sampled_from("ab/.[]\n"), max_size=8)


def endpoint(*rules: AccessRule) -> Endpoint:
    return Endpoint("housing", "s3://models/", access=rules)


def allowed(principal: Principal, target: str, *rules: AccessRule) -> bool:
    return is_allowed(endpoint(*rules), principal, TargetModel(target))


def reference(glob: str, text: str) -> bool:
    """Match as the definition says, without regular expressions."""
    if not glob:
        return not text
    if glob[0] == "*":
        return reference(glob[1:], text) or (bool(text) and reference(glob, text[1:]))
    return bool(text) and glob[0] in ("?", text[0]) and reference(glob[1:], text[1:])


@pytest.mark.parametrize(
    ("glob", "text", "is_match"),
    [
        ("company_a/*", "company_a/x/y.onnx", True),
        ("company_a/*", "company_ab/x", False),
        ("company_a/*", "x/company_a/x", False),
        ("*.onnx", "a/b.onnx", True),
        ("*.onnx", "aonnx", False),
        ("store-?.onnx", "store-1.onnx", True),
        ("store-?.onnx", "store-12.onnx", False),
        ("[ab]", "a", False),
        ("[ab]", "[ab]", True),
        ("Model", "model", False),
        ("", "", True),
    ],
)
def test_glob_knows_two_wildcards_only(glob: str, text: str, is_match: bool) -> None:
    assert matches(glob, text) is is_match


@given(GLOBS, NAMES)
def test_glob_matches_what_its_definition_says(glob: str, text: str) -> None:
    assert matches(glob, text) is reference(glob, text)


@given(GLOBS, NAMES, NAMES)
def test_what_a_glob_matches_in_a_folder_it_may_match_there(glob, folder, name):
    if name and reference(glob, f"{folder}/{name}"):
        assert may_match_below(glob, folder)


@pytest.mark.parametrize(
    ("glob", "folder", "may_match"),
    [
        ("x/*", "x", True),
        ("x/secret", "x", True),
        ("x/a/b", "x/a", True),
        ("*.onnx", "x", True),
        ("?/m", "x", True),
        ("x", "x", False),
        ("x/", "x", False),
        ("x/*", "y", False),
        ("x/*", "xx", False),
        ("x/a", "x/a", False),
    ],
)
def test_glob_may_match_below_a_folder(glob: str, folder: str, may_match: bool) -> None:
    assert may_match_below(glob, folder) is may_match


def test_many_stars_before_a_folder_cost_no_time_to_speak_of() -> None:
    before = time.process_time()

    assert may_match_below("*a" * 40 + "b", "a" * 1024)

    assert time.process_time() - before < 2.0


def opens(target: str, *files: StoredObject, rule: AccessRule) -> bool:
    return may_open(endpoint(rule), A, TargetModel(target), files)


def file(key: str, links_to: str | None = None) -> StoredObject:
    return StoredObject(key, 1, 0.0, links_to)


def test_folder_is_denied_with_anything_in_it() -> None:
    rule = AccessRule("*", ("*",), ("x/secret.json",))

    assert opens("x", file("x/open.json"), rule=rule)
    assert not opens("x", file("x/open.json"), file("x/secret.json"), rule=rule)


def test_file_is_not_denied_with_what_would_be_in_a_folder_of_its_name() -> None:
    assert opens("x", file("x"), rule=AccessRule("*", ("*",), ("x/*",)))


def test_name_that_is_not_there_is_refused_where_a_folder_would_be() -> None:
    rule = AccessRule("*", ("*",), ("x/*",))

    assert not opens("x", rule=rule)
    assert opens("y", rule=rule)


@pytest.mark.parametrize(
    ("rule", "is_open"),
    [
        (AccessRule("*", ("*",)), True),
        (AccessRule("*", ("*",), ("b/*",)), False),
        (AccessRule("*", ("a/*",)), False),
        (AccessRule("*", ("a/*", "b/m")), True),
    ],
)
def test_link_counts_as_what_it_leads_to(rule: AccessRule, is_open: bool) -> None:
    assert opens("a/m", file("a/m", links_to="b/m"), rule=rule) is is_open
    assert opens("a", file("a/m", links_to="b/m"), rule=rule) is is_open


def test_many_stars_cost_no_time_to_speak_of() -> None:
    before = time.process_time()

    assert not matches("*a" * 40 + "*b", "a" * 1024)

    assert time.process_time() - before < 1.0


def test_without_rules_everybody_may_call_everything() -> None:
    assert allowed(Principal("anonymous"), "company_b/x")


def test_with_rules_an_unnamed_caller_may_call_nothing() -> None:
    assert not allowed(Principal("tenant-b"), "company_a/x", TENANT)
    assert not may_call_something(endpoint(TENANT), Principal("tenant-b"))
    assert may_call_something(endpoint(TENANT), A)


def test_session_is_known_by_its_role_and_by_its_own_arn() -> None:
    assert allowed(SESSION, "m", AccessRule("arn:aws:iam::*:role/team-*", ("*",)))
    assert allowed(SESSION, "m", AccessRule("arn:aws:sts::*:assumed-role/team-a/*", ("*",)))
    assert not allowed(SESSION, "m", AccessRule("arn:aws:iam::*:role/team-b", ("*",)))


@given(SPELLINGS)
def test_no_spelling_reaches_the_model_of_another_tenant(text: str) -> None:
    try:
        target = parse_target_model(text)
    except InvalidRequestError:
        return
    if is_allowed(endpoint(TENANT), A, target):
        assert target.split("/")[0] == "company_a"
        assert ".." not in target.split("/")


@given(HOSTILE, st.lists(st.sampled_from(["*", "company_a/*", "?*"]), max_size=3), st.booleans())
def test_deny_wins_over_every_allow(tail: str, allow: list[str], is_first: bool) -> None:
    rules = [AccessRule("*", deny=("company_a/*",)), AccessRule("tenant-*", tuple(allow))]

    assert not allowed(A, f"company_a/{tail}", *(rules if is_first else reversed(rules)))


def test_refusal_names_caller_and_endpoint() -> None:
    error = refusal(endpoint(TENANT), A)

    assert error.message == "tenant-a is not allowed to call this model of endpoint housing"


def test_refusal_is_logged_with_endpoint_and_caller(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        refusal(endpoint(TENANT), A)

    (record,) = caplog.records
    fields = vars(record)
    assert record.message == "refused by access rules"
    assert (fields["endpoint"], fields["principal"]) == ("housing", "tenant-a")
