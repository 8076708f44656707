import base64
import json
from dataclasses import replace

import pytest

from modelyard.local.emulation.gateway import (
    HttpRequest,
    MalformedAnswerError,
    RestApi,
    build_event,
    parse_answer,
)

API = RestApi()
TEXT_API = RestApi(binary_media_types=("image/*",))
REQUEST = HttpRequest(
    method="POST",
    raw_path="/endpoints/housing/invocations",
    query="a=1&a=2&empty=&sp=x%20y",
    headers=(("content-type", "text/csv"), ("x-two", "1"), ("x-two", "2"), ("user-agent", "me")),
    body=b"1,2,3",
    source_ip="127.0.0.1",
    request_id="id-1",
)


def test_repeated_headers_are_all_there_and_the_last_is_the_single_one() -> None:
    event = build_event(REQUEST, API)

    assert event["headers"]["x-two"] == "2"
    assert event["multiValueHeaders"]["x-two"] == ["1", "2"]


def test_query_is_decoded_with_every_value() -> None:
    event = build_event(REQUEST, API)

    assert event["queryStringParameters"] == {"a": "2", "empty": "", "sp": "x y"}
    assert event["multiValueQueryStringParameters"]["a"] == ["1", "2"]


def test_request_without_a_query_has_null_and_not_an_empty_mapping() -> None:
    event = build_event(replace(REQUEST, query=""), API)

    assert event["queryStringParameters"] is None
    assert event["multiValueQueryStringParameters"] is None


def test_path_stays_encoded_and_is_the_proxy_parameter() -> None:
    event = build_event(replace(REQUEST, raw_path="/a%2Fb/c"), API)

    assert event["path"] == "/a%2Fb/c"
    assert event["pathParameters"] == {"proxy": "a%2Fb/c"}
    assert event["requestContext"]["path"] == "/prod/a%2Fb/c"


@pytest.mark.parametrize(
    ("auth", "verb", "path", "is_signed"),
    [
        ("iam", "POST", "/endpoints/a/invocations", True),
        ("iam", "GET", "/ping", False),
        ("iam", "OPTIONS", "/endpoints/a/invocations", False),
        ("iam", "GET", "/ping/more", True),
        ("iam", "POST", "/ping", None),
        ("iam", "GET", "/", None),
        ("key", "POST", "/endpoints/a/invocations", False),
        ("none", "POST", "/ping", False),
        ("none", "GET", "/", None),
    ],
)
def test_requests_reach_the_methods_of_the_template(
    auth: str, verb: str, path: str, is_signed: bool | None
) -> None:
    method = RestApi(auth=auth).method_for(replace(REQUEST, method=verb, raw_path=path))

    assert (method and method.is_signed) == is_signed


def test_root_has_no_proxy_parameter() -> None:
    event = build_event(replace(REQUEST, raw_path="/"), API)

    assert (event["resource"], event["pathParameters"]) == ("/", None)


def test_context_names_request_stage_and_caller() -> None:
    ada = "arn:aws:iam::000000000000:user/ada"

    context = build_event(REQUEST, RestApi(stage="v1"), ada)["requestContext"]

    assert (context["requestId"], context["stage"]) == ("id-1", "v1")
    assert context["identity"]["userArn"] == ada
    assert context["identity"]["userAgent"] == "me"


@pytest.mark.parametrize(
    ("content_type", "api", "is_base64"),
    [
        ("text/csv", API, True),
        ("text/csv", TEXT_API, False),
        ("image/png; x=y", TEXT_API, True),
    ],
)
def test_body_is_base64_by_the_list_of_binary_media_types(
    content_type: str, api: RestApi, is_base64: bool
) -> None:
    event = build_event(replace(REQUEST, headers=(("Content-Type", content_type),)), api)

    assert event["isBase64Encoded"] is is_base64
    assert event["body"] == (base64.b64encode(b"1,2,3").decode() if is_base64 else "1,2,3")


def test_empty_body_is_null() -> None:
    event = build_event(replace(REQUEST, body=b""), API)

    assert (event["body"], event["isBase64Encoded"]) == (None, False)


def answer(**members: object) -> bytes:
    return json.dumps({"statusCode": 200, **members}).encode()


def test_base64_answer_is_decoded() -> None:
    payload = answer(body=base64.b64encode(b"\x00\xff").decode(), isBase64Encoded=True)

    assert parse_answer(payload, "application/json", API).body == b"\x00\xff"


def test_base64_answer_stays_for_a_client_that_accepts_no_binary_type() -> None:
    payload = answer(body="AAAA", isBase64Encoded=True)

    assert parse_answer(payload, "text/html", TEXT_API).body == b"AAAA"
    assert parse_answer(payload, "image/png, text/html", TEXT_API).body == b"\x00\x00\x00"


def test_header_with_many_values_is_sent_as_often() -> None:
    payload = answer(headers={"a": "0", "b": "1"}, multiValueHeaders={"a": ["1", "2"]})

    assert parse_answer(payload, None, API).headers == (("b", "1"), ("a", "1"), ("a", "2"))


def test_headers_of_the_gateway_itself_are_remapped() -> None:
    payload = answer(headers={"x-amzn-RequestId": "mine"})

    assert parse_answer(payload, None, API).headers == (
        ("x-amzn-remapped-x-amzn-RequestId", "mine"),
    )


@pytest.mark.parametrize(
    "payload",
    [
        b"null",
        b'"text"',
        b"{}",
        b"[1]",
        b'{"statusCode": "no"}',
        b'{"statusCode": 200, "headers": [1]}',
        b'{"statusCode": 200, "body": "%", "isBase64Encoded": true}',
    ],
)
def test_anything_else_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        parse_answer(payload, None, API)
