import posixpath
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelyard.domain.errors import InvalidRequestError
from modelyard.sagemaker.target_model import parse_target_model

# The characters that names are attacked with, so that random texts are hostile ones.
HOSTILE = st.text(st.sampled_from("ab/.\\ ~:%*?\t\n\x00é-"), max_size=12)
TEXTS = HOSTILE | st.text(max_size=40)


def parsed(text: str) -> str | None:
    try:
        return parse_target_model(text)
    except InvalidRequestError:
        return None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Houston_TX.tar.gz", "Houston_TX.tar.gz"),
        ("/Houston_TX.tar.gz", "Houston_TX.tar.gz"),
        ("region/north/store 7.onnx", "region/north/store 7.onnx"),
        ("model.onnx  ", "model.onnx"),
        ("...", "..."),
        ("a..b/.hidden", "a..b/.hidden"),
        ("a%2e%2e/b", "a%2e%2e/b"),
        ("~/.ssh", "~/.ssh"),
    ],
    ids=repr,
)
def test_target_model_is_normalised(text: str, name: str) -> None:
    assert parse_target_model(text) == name


@pytest.mark.parametrize(
    "text",
    ["..", ".", "../a", "a/../b", "a/..", "a/./b", "/../a", "a/.. ", "a/.. /b", "a/ ../b", "a/. "],
    ids=repr,
)
def test_dot_segments_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"without empty, '\.' or '\.\.' segments"):
        parse_target_model(text)


@pytest.mark.parametrize("text", ["//a", "a//b", "a/", "/", "a/ /b", "///"], ids=repr)
def test_empty_segments_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="Member must be a relative key without empty"):
        parse_target_model(text)


def test_backslash_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="must not contain a backslash"):
        parse_target_model("a\\..\\b")


def test_empty_target_model_is_refused_in_the_words_of_aws() -> None:
    with pytest.raises(
        InvalidRequestError, match=r"'targetModel' .*length greater than or equal to 1"
    ):
        parse_target_model("")


@pytest.mark.parametrize("text", ["é", "a\nb", "a\x00", "\ta", " a", "\u202egz.rat"], ids=ascii)
def test_unprintable_target_model_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="regular expression pattern"):
        parse_target_model(text)


def test_longest_target_model_is_taken() -> None:
    assert len(parse_target_model("a" * 1024)) == 1024


def test_target_model_of_1025_characters_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="length less than or equal to 1024"):
        parse_target_model("a" * 1025)


@given(TEXTS)
@example("/ a")
def test_parsed_name_parses_to_itself(text: str) -> None:
    name = parsed(text)

    assert name is None or parsed(name) == name


@given(TEXTS)
def test_parsed_name_never_leaves_its_repository(text: str) -> None:
    name = parsed(text) or "refused"

    assert posixpath.normpath(name) == name
    assert not PurePosixPath(name).is_absolute()
    assert ".." not in PurePosixPath(name).parts
    assert ".." not in PureWindowsPath(name).parts


@given(TEXTS)
def test_spellings_that_mean_one_object_share_one_name(text: str) -> None:
    spellings = (text, f"/{text}", f"{text} ", f"./{text}", f"{text}/", f"a/../{text}")

    names = {parsed(spelling) for spelling in spellings} - {None}

    assert len(names) <= 1
