from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.domain.errors import UnsupportedAcceptError, UnsupportedContentTypeError
from modelyard.runtimes.codecs import media_types
from modelyard.runtimes.codecs.media_types import CSV, JSON, JSON_LINES, LIBSVM, NPY

OFFERED = (JSON, CSV, NPY)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param(None, JSON, id="missing"),
        pytest.param("", JSON, id="empty"),
        pytest.param("text/csv", CSV, id="plain"),
        pytest.param("Text/CSV; charset=UTF-8", CSV, id="case and parameters"),
        pytest.param("csv", CSV, id="alias"),
        pytest.param(" application/json ;q=1", JSON, id="blanks"),
    ],
)
def test_body_type_understands_the_header(header, expected):
    assert media_types.body_type(header, (JSON, CSV), default=JSON) == expected


@pytest.mark.parametrize("alias", ["libsvm", "text/libsvm", "text/x-libsvm", "TEXT/X-LIBSVM"])
def test_all_spellings_of_libsvm_are_one_type(alias):
    assert media_types.body_type(alias, (CSV, LIBSVM), default=CSV) == LIBSVM


@pytest.mark.parametrize("alias", ["application/x-ndjson", "application/jsonl"])
def test_all_spellings_of_json_lines_are_one_type(alias):
    assert media_types.body_type(alias, (JSON_LINES,), default=JSON_LINES) == JSON_LINES


def test_other_body_types_are_refused_in_the_containers_words():
    with pytest.raises(UnsupportedContentTypeError) as refused:
        media_types.body_type("image/png", (CSV, LIBSVM), default=CSV)

    assert refused.value.message == (
        "image/png is not an accepted ContentType: text/csv, text/libsvm."
    )


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        pytest.param(None, JSON, id="missing"),
        pytest.param("  ", JSON, id="blank"),
        pytest.param("*/*", JSON, id="anything"),
        pytest.param("text/*", CSV, id="family"),
        pytest.param("json", JSON, id="alias"),
        pytest.param("text/csv, application/json", CSV, id="first of equals"),
        pytest.param("text/csv;q=0.5, application/json;q=0.9", JSON, id="greater q"),
        pytest.param("image/png, text/csv;q=0.1", CSV, id="first acceptable"),
        pytest.param("application/json;q=0, text/csv", CSV, id="q of zero excludes"),
        pytest.param("application/json;q=many, text/csv", CSV, id="q that is no number"),
        pytest.param("application/x-npy;q=0.2, */*;q=0.1", NPY, id="named before anything"),
    ],
)
def test_answer_type_is_what_the_caller_likes_best(accept, expected):
    assert media_types.answer_type(accept, OFFERED) == expected


@pytest.mark.parametrize("accept", ["image/png", "text/html, image/*", "application/json;q=0"])
def test_no_acceptable_answer_is_refused_with_the_offer(accept):
    with pytest.raises(UnsupportedAcceptError, match="application/json, text/csv"):
        media_types.answer_type(accept, OFFERED)


@given(st.text())
def test_any_accept_header_is_answered_or_refused(accept):
    with suppress(UnsupportedAcceptError):
        assert media_types.answer_type(accept, OFFERED) in OFFERED
