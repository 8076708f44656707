import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.domain.errors import InvalidRequestError
from modelyard.sagemaker import constraints
from modelyard.sagemaker.constraints import Constraint

LIMITS = [
    (constraints.ENDPOINT_NAME, "endpointName", 63),
    (constraints.CONTENT_TYPE, "contentType", 1024),
    (constraints.ACCEPT, "accept", 1024),
    (constraints.CUSTOM_ATTRIBUTES, "customAttributes", 1024),
    (constraints.TARGET_MODEL, "targetModel", 1024),
    (constraints.TARGET_VARIANT, "targetVariant", 63),
    (constraints.TARGET_CONTAINER_HOSTNAME, "targetContainerHostname", 63),
    (constraints.INFERENCE_ID, "inferenceId", 64),
    (constraints.ENABLE_EXPLANATIONS, "enableExplanations", 64),
    (constraints.INFERENCE_COMPONENT_NAME, "inferenceComponentName", 63),
    (constraints.SESSION_ID, "sessionId", 256),
]
limits = pytest.mark.parametrize(
    ("constraint", "member", "longest"), LIMITS, ids=[member for _, member, _ in LIMITS]
)
NAMES = [constraints.ENDPOINT_NAME, constraints.TARGET_VARIANT]
names = pytest.mark.parametrize("constraint", NAMES, ids=lambda item: item.member)


@limits
def test_value_of_the_greatest_length_is_taken(
    constraint: Constraint, member: str, longest: int
) -> None:
    assert constraint.check("a" * longest) == "a" * longest


@limits
def test_one_character_more_is_refused_in_the_words_of_aws(
    constraint: Constraint, member: str, longest: int
) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        constraint.check("a" * (longest + 1))

    assert refused.value.message == (
        f"1 validation error detected: Value at '{member}' failed to satisfy constraint:"
        f" Member must have length less than or equal to {longest}"
    )


@names
@pytest.mark.parametrize("name", ["a", "Z9", "a-b", "a--b", "0-0"])
def test_names_are_letters_digits_and_inner_hyphens(constraint: Constraint, name: str) -> None:
    assert constraint.check(name) == name


@names
@pytest.mark.parametrize(
    "name", ["", "-a", "a-", "a_b", "a.b", "a/b", "a b", "é", "a\n", "\u0661"], ids=ascii
)
def test_other_names_are_refused(constraint: Constraint, name: str) -> None:
    with pytest.raises(InvalidRequestError, match="Member must satisfy regular expression pattern"):
        constraint.check(name)


@pytest.mark.parametrize("text", ["\n", "a\r\nb", "\x00", "\x7f", "é", "\x1b[31m"], ids=ascii)
def test_header_texts_are_printable_ascii(text: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"'customAttributes'.*pattern"):
        constraints.CUSTOM_ATTRIBUTES.check(text)


def test_header_text_may_have_tabs() -> None:
    assert constraints.ACCEPT.check("a\tb") == "a\tb"


@pytest.mark.parametrize("session", ["NEW_SESSION", "abc-1"])
def test_session_is_new_or_named(session: str) -> None:
    assert constraints.SESSION_ID.check(session) == session


def test_session_of_another_form_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="'sessionId'"):
        constraints.SESSION_ID.check("OLD_SESSION")


@limits
@given(value=st.text())
def test_whatever_is_taken_fits_a_header(
    constraint: Constraint, member: str, longest: int, value: str
) -> None:
    try:
        taken = constraint.check(value)
    except InvalidRequestError:
        return

    assert taken == value
    assert all(character == "\t" or " " <= character <= "~" for character in taken)
