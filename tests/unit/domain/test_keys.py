import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.domain.errors import AccessDeniedError, ConfigurationError
from modelyard.domain.keys import (
    ATTRIBUTES_HEADER,
    HEADER,
    issue,
    parse_key,
    parse_stored,
    render_stored,
    split_key,
    verify,
)

NOW = 1_700_000_000.0
KEY, STORED = issue("team-a", NOW, 60.0)
SENT = KEY.text.encode()


def test_issued_key_is_read_back_and_its_secret_is_stored_as_a_hash_only() -> None:
    assert parse_key(KEY.text) == KEY
    assert STORED.digest == hashlib.sha256(KEY.secret.encode()).hexdigest()
    assert KEY.secret not in render_stored(STORED)
    assert KEY.secret not in repr(KEY)


def test_stored_key_survives_its_json() -> None:
    forever = replace(STORED, expires_at=None)

    assert parse_stored(KEY.key_id, render_stored(STORED)) == STORED
    assert parse_stored(KEY.key_id, render_stored(forever)) == forever


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "a", "sha256": "b", "created": 3}'])
def test_damaged_record_is_a_configuration_error(text: str) -> None:
    with pytest.raises(ConfigurationError, match="the stored key 0123 cannot be read"):
        parse_stored("0123", text)


def test_right_key_has_the_name_of_its_holder_until_it_expires() -> None:
    assert verify(KEY, STORED, NOW + 59.9) == "team-a"


def test_unknown_wrong_and_expired_keys_get_the_same_words() -> None:
    other, _ = issue("team-b", NOW)
    cases = [(KEY, None, NOW), (replace(other, key_id=KEY.key_id), STORED, NOW)]
    cases += [(KEY, STORED, NOW + 60.0)]

    messages = set()
    for key, stored, now in cases:
        with pytest.raises(AccessDeniedError) as caught:
            verify(key, stored, now)
        messages.add(caught.value.message)

    assert messages == {"the key is not valid"}


@pytest.mark.parametrize("name", ["", "a b", "arn:aws:iam::1:user/x", "a" * 65, "é", "a\n"])
def test_name_that_could_be_taken_for_something_else_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="allowed: 1 to 64 letters"):
        issue(name, NOW)


@pytest.mark.parametrize(
    ("headers", "sent", "kept"),
    [
        ([(HEADER, SENT)], KEY.text, []),
        ([(b"X-Api-Key", SENT)], KEY.text, []),
        ([(ATTRIBUTES_HEADER, SENT)], KEY.text, []),
        ([(ATTRIBUTES_HEADER, SENT + b", a=1,b")], KEY.text, [(ATTRIBUTES_HEADER, b"a=1,b")]),
        ([(ATTRIBUTES_HEADER, b"a=1")], None, [(ATTRIBUTES_HEADER, b"a=1")]),
        ([(ATTRIBUTES_HEADER, b"a," + SENT)], None, [(ATTRIBUTES_HEADER, b"a," + SENT)]),
        ([(HEADER, b"somebody else's")], None, [(HEADER, b"somebody else's")]),
        (
            [(ATTRIBUTES_HEADER, b"myk_typo,a"), (HEADER, SENT)],
            KEY.text,
            [(ATTRIBUTES_HEADER, b"a")],
        ),
        ([(HEADER, SENT), (HEADER, b"myk_2")], KEY.text, []),
    ],
    ids=[
        "own-header",
        "gateway-header",
        "attributes",
        "first-of-attributes",
        "no-key-in-attributes",
        "second-of-attributes",
        "no-key-in-header",
        "both-headers",
        "two-headers",
    ],
)
def test_key_is_taken_off_the_headers(headers, sent, kept) -> None:
    assert split_key(headers) == (sent, kept)


@given(st.lists(st.tuples(st.sampled_from([HEADER, ATTRIBUTES_HEADER]), st.just(SENT))))
def test_no_key_is_left_however_often_it_is_sent(headers) -> None:
    _, kept = split_key(headers)

    assert kept == []
