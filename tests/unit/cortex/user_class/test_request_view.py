import asyncio
import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.datastructures import FormData, Headers, QueryParams, UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)

from modelyard.cortex.user_class.request_view import (
    RequestView,
    UnreadableBodyError,
    refusal,
    render,
)
from modelyard.domain.values import HttpResponse

FORM = "application/x-www-form-urlencoded"
TEXT = "text/plain; charset=utf-8"


def view(body=b"", content_type=None, **options):
    headers = [] if content_type is None else [("Content-Type", content_type)]
    return RequestView("", headers, body, **options)


def refused(body, content_type, **options):
    with pytest.raises(UnreadableBodyError) as caught:
        _ = view(body, content_type, **options).payload
    return caught.value.reply


def multipart(**parts):
    request = httpx.Request("POST", "http://api", **parts)
    return request.read(), request.headers["content-type"]


def content(file):
    with file.file as stream:
        return stream.read()


def test_query_params_are_starlettes():
    query = RequestView("model=a&model=b&empty=&text=%C3%A9+x", [], b"").query_params

    assert isinstance(query, QueryParams)
    assert query["model"] == "b"
    assert query.getlist("model") == ["a", "b"]
    assert (query["empty"], query["text"], query.get("none", 1)) == ("", "é x", 1)


def test_headers_are_starlettes():
    headers = RequestView("", [("X-Name", "caf\xe9"), ("x-name", "2")], b"").headers

    assert isinstance(headers, Headers)
    assert headers["X-NAME"] == "caf\xe9"
    assert headers.getlist("x-name") == ["caf\xe9", "2"]


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON; charset=utf-8", "application/jsonlines"],
)
@pytest.mark.parametrize("value", [{"a": [1]}, [1, "é"], "text", 1.5, True, None])
def test_c07_json_bodies_become_values(content_type, value):
    assert view(json.dumps(value).encode(), content_type).payload == value


@pytest.mark.parametrize("body", [b"", b"{", b"{'a': 1}", b"1 2"])
def test_c08_bad_json_is_answered_with_the_parsers_message(body):
    reply = refused(body, "application/json")

    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads(body)
    assert (reply.status, reply.headers) == (400, (("content-type", "application/json"),))
    assert json.loads(reply.body) == {"error": str(caught.value)}


@pytest.mark.parametrize("body", [b'"\xff"', b"[" * 200_000], ids=["not UTF-8", "too deep"])
def test_c10_json_that_cannot_be_read_is_refused_too(body):
    reply = refused(body, "application/json")

    assert reply.status == 400
    assert json.loads(reply.body)["error"]


@given(st.binary() | st.text().map(str.encode) | st.from_regex(rb"[\[\]{}:,\"0-9eE.\-]*"))
def test_json_bodies_are_what_the_parser_says_or_refused(body):
    try:
        expected = json.loads(body)
    except ValueError:
        assert refused(body, "application/json").status == 400
    else:
        # As text, because NaN, which the parser takes, is equal to nothing.
        assert repr(view(body, "application/json").payload) == repr(expected)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_json_values_arrive_equal(value):
    assert view(json.dumps(value).encode(), "application/json").payload == value


def test_other_json_types_are_bytes():
    assert view(b"{}", "application/ld+json").payload == b"{}"


def test_c11_urlencoded_bodies_become_form_data():
    form = view(b"a=1&b=x+%C3%A9&a=2", FORM.upper()).payload

    assert isinstance(form, FormData)
    assert dict(form) == {"a": "2", "b": "x é"}
    assert form.getlist("a") == ["1", "2"]


def test_c11_an_empty_urlencoded_body_is_an_empty_form():
    assert dict(view(b"", FORM).payload) == {}


def test_c11_multipart_bodies_have_text_and_files():
    body, content_type = multipart(
        data={"name": "é"}, files={"image": ("a.png", b"\x89\x00", "image/png")}
    )

    form = view(body, content_type).payload

    assert isinstance(form, FormData)
    assert form["name"] == "é"
    file = form["image"]
    assert isinstance(file, UploadFile)
    assert (file.filename, file.content_type) == ("a.png", "image/png")
    assert content(file) == b"\x89\x00"


def test_c11_forms_are_as_large_as_the_body_may_be():
    text, uploaded = "x" * 1_500_000, b"y" * 1_500_000
    body, content_type = multipart(data={"text": text}, files={"file": ("f", uploaded)})

    form = view(body, content_type).payload

    assert form["text"] == text
    assert content(form["file"]) == uploaded
    assert view(b"text=" + text.encode(), FORM).payload["text"] == text
    assert len(view("&".join(f"k{i}=" for i in range(1500)).encode(), FORM).payload) == 1500


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        pytest.param(b"--x\r\n", "multipart/form-data", b"boundary", id="no boundary"),
        pytest.param(b"nonsense", "multipart/form-data; boundary=x", b"nvalid", id="no multipart"),
        pytest.param(
            b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
            b'"name" must be provided',
            id="no name",
        ),
    ],
)
def test_c11_a_bad_form_is_refused_as_text(body, content_type, words):
    reply = refused(body, content_type)

    assert (reply.status, reply.headers) == (400, (("content-type", TEXT),))
    assert words in reply.body


NAMES = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20)
FILES = st.tuples(NAMES, st.binary(max_size=200))


@given(st.dictionaries(NAMES, FILES, min_size=1, max_size=4))
def test_multipart_files_arrive_as_they_were_sent(files):
    body, content_type = multipart(files=files)

    form = view(body, content_type).payload

    assert {key: (file.filename, content(file)) for key, file in form.items()} == files


@given(NAMES, st.text(), FILES)
def test_multipart_text_arrives_as_it_was_sent(name, text, file):
    body, content_type = multipart(data={name: text}, files={f"{name}-file": file})

    form = view(body, content_type).payload

    assert form[name] == text
    assert content(form[f"{name}-file"]) == file[1]


@given(
    st.binary()
    | st.lists(st.sampled_from([b"--x", b"\r\n", b"--", b":", b";", b"name="])).map(b"".join),
    st.sampled_from(
        ["multipart/form-data; boundary=x", "multipart/form-data; charset=idna; boundary=x", FORM]
    )
    | st.text(st.characters(max_codepoint=255)).map("multipart/form-data; boundary={}".format),
)
def test_any_body_is_a_form_or_refused(body, content_type):
    try:
        form = view(body, content_type).payload
    except UnreadableBodyError as error:
        assert error.reply.status == 400
    else:
        assert isinstance(form, FormData)
        asyncio.run(form.close())


def test_c12_plain_text_is_bytes():
    assert view(b"caf\xc3\xa9", "text/plain").payload == b"caf\xc3\xa9"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"caf\xc3\xa9", "text/plain"),
        (b"caf\xe9", "Text/Plain; charset=ISO-8859-1"),
        (b"caf\xe9", 'text/plain; x=1; charset="latin-1"'),
    ],
)
def test_c12_plain_text_is_str_in_later_projects(body, content_type):
    assert view(body, content_type, text_as_str=True).payload == "café"


@pytest.mark.parametrize("charset", ["utf-8", "none", "base64", "undefined", "caf\xe9"])
def test_c12_text_that_cannot_be_decoded_is_refused(charset):
    reply = refused(b"\xff", f"text/plain; charset={charset}", text_as_str=True)

    assert (reply.status, reply.headers) == (400, (("content-type", TEXT),))
    assert reply.body


@pytest.mark.parametrize("content_type", [None, "", "image/png", "text/html", "x"])
@pytest.mark.parametrize("body", [b"", b"\x00{}"])
def test_c13_other_bodies_are_bytes(content_type, body):
    assert view(body, content_type, text_as_str=True).payload == body


def test_the_payload_is_one_object():
    seen = view(b"{}", "application/json")

    assert seen.payload is seen.payload


def reply_to(result):
    reply, afterwards = render(result)
    assert afterwards is None
    return reply


def test_c14_bytes_are_a_body():
    octets = (("content-type", "application/octet-stream"),)

    assert reply_to(b"\x00") == HttpResponse(200, octets, b"\x00")


def test_c14_text_is_a_body_without_quotes():
    assert reply_to("é") == HttpResponse(200, (("content-type", TEXT),), "é".encode())


@pytest.mark.parametrize(
    ("result", "body"),
    [
        ({"a": [1, "é"], 2: None}, b'{"a": [1, "\\u00e9"], "2": null}'),
        (("body", 404), b'["body", 404]'),
        (None, b"null"),
        (True, b"true"),
        (float("nan"), b"NaN"),
        ([float("inf"), float("-inf")], b"[Infinity, -Infinity]"),
    ],
)
def test_c14_anything_else_is_json(result, body):
    assert reply_to(result) == HttpResponse(200, (("content-type", "application/json"),), body)


def test_c14_numpy_values_are_json():
    np = pytest.importorskip("numpy")
    result = {
        "int": np.int64(3),
        "float": np.float32(0.5),
        "double": np.float64(0.1),
        "bool": np.bool_(True),
        "text": np.str_("x"),
        "array": np.array([[1.5, np.nan]]),
    }

    assert reply_to(result).body == (
        b'{"int": 3, "float": 0.5, "double": 0.1, "bool": true, "text": "x", "array": [[1.5, NaN]]}'
    )
    assert reply_to(np.str_("x")).headers == (("content-type", TEXT),)
    assert reply_to(np.int64(3)).body == b"3"


@pytest.mark.parametrize("result", [{1}, bytearray(b"x"), memoryview(b"x"), object(), 1j, "\ud800"])
def test_c14_what_json_does_not_know_fails(result):
    with pytest.raises((TypeError, ValueError)):
        render(result)


def test_c14_numpy_values_that_json_does_not_know_fail():
    np = pytest.importorskip("numpy")

    for value in (np.complex64(1j), np.datetime64("2020-01-01"), np.array([{1}], dtype=object)):
        with pytest.raises(TypeError, match="is not JSON serializable"):
            render({"value": value})


def test_c15_a_response_keeps_status_headers_and_body():
    response = JSONResponse({"a": 1}, status_code=418, headers={"X-One": "1"})
    response.set_cookie("a", "1")
    response.set_cookie("b", "caf\xe9")

    reply = reply_to(response)

    assert (reply.status, reply.body) == (418, b'{"a":1}')
    names = [name for name, _ in reply.headers]
    assert names == ["x-one", "content-type", "set-cookie", "set-cookie"]
    assert dict(reply.headers)["x-one"] == "1"


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (Response(b"\x00"), b"\x00"),
        (Response(status_code=204), b""),
        (PlainTextResponse("é"), "é".encode()),
        (RedirectResponse("/there"), b""),
        (StreamingResponse(iter(["a", b"b"])), b"ab"),
    ],
)
def test_c15_every_kind_of_response_is_run(response, body):
    reply = reply_to(response)

    assert (reply.status, reply.body) == (response.status_code, body)


def test_c15_asynchronous_streams_are_collected():
    async def chunks():
        yield "a"
        yield b"b"

    reply = reply_to(StreamingResponse(chunks(), media_type="text/csv"))

    assert reply == HttpResponse(200, (("content-type", "text/csv; charset=utf-8"),), b"ab")


def test_c15_files_are_read(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"content")

    reply = reply_to(FileResponse(tmp_path / "a.txt", filename="b.txt"))

    assert reply.body == b"content"
    assert dict(reply.headers)["content-disposition"] == 'attachment; filename="b.txt"'


def test_c15_a_response_of_ones_own_is_run():
    class Own(Response):
        async def __call__(self, scope, receive, send):
            await send({"type": "http.response.start", "status": 202})
            await send({"type": "http.response.body"})

    assert reply_to(Own()) == HttpResponse(202)


def test_c15_a_response_that_watches_for_the_client_to_leave_sees_it_stay():
    class Watching(PlainTextResponse):
        async def __call__(self, scope, receive, send):
            leaving = asyncio.create_task(receive())
            await super().__call__(scope, receive, send)
            await send({"type": "http.response.body", "body": str(leaving.done()).encode()})
            leaving.cancel()

    assert reply_to(Watching("left: ")).body == b"left: False"


def test_a_failing_stream_is_a_failure():
    def chunks():
        yield b"a"
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        render(StreamingResponse(chunks()))


@pytest.mark.parametrize("status", [100, 99, 600])
def test_a_status_that_is_no_answer_is_a_failure(status):
    with pytest.raises(ValueError, match=str(status)):
        render(Response(status_code=status))


def test_background_tasks_are_left_for_afterwards():
    done = []

    async def note(what):
        done.append(what)

    tasks = BackgroundTasks([BackgroundTask(done.append, 1)])
    tasks.add_task(note, 2)
    response = PlainTextResponse("x", background=tasks)

    reply, afterwards = render(response)

    assert (reply.body, done) == (b"x", [])
    assert afterwards is not None
    afterwards()
    assert done == [1, 2]
    assert response.background is tasks


def test_c16_http_exceptions_are_answers():
    assert refusal(HTTPException(418, "x", headers={"a": "b"})) == HttpResponse(418, (), b"x")
    assert refusal(HTTPException(404)) == HttpResponse(404, (), b"Not Found")
    assert refusal(HTTPException(400, "\ud800")) == HttpResponse(400, (), b"?")


@pytest.mark.parametrize("error", [ValueError("x"), HTTPException(99), HTTPException("404")])
def test_other_exceptions_are_no_answers(error):
    assert refusal(error) is None
