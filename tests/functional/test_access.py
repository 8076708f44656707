"""Who may call: keys and rules of a server, through the doors of callers."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.guarded import WRONG, modelyard_says

pytestmark = pytest.mark.local_door("its keys are in a folder, those of functions in SSM")


def refusal(call: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response
    return (
        answer["Error"]["Code"],
        answer["ResponseMetadata"]["HTTPStatusCode"],
        answer["Error"]["Message"],
    )


def test_key_in_the_attributes_lets_a_stock_client_in_and_does_not_reach_the_model(guarded):
    bare = guarded.invoke("company_a/one.tar.gz", guarded.tenant_key)
    with_rest = guarded.invoke("company_a/one.tar.gz", guarded.tenant_key, "trace=1,b")

    assert (bare["Body"].read(), with_rest["Body"].read()) == (b"None", b"'trace=1,b'")


def test_wrong_unknown_and_missing_keys_are_access_denied(guarded):
    spoilt = guarded.tenant_key[:-1] + ("0" if guarded.tenant_key[-1] != "0" else "1")
    refused = "AccessDeniedException", 403

    for key in (spoilt, WRONG, "myk_nonsense"):
        answer = refusal(lambda key=key: guarded.invoke("company_a/one.tar.gz", key))
        assert answer == (*refused, "the key is not valid")
    assert refusal(lambda: guarded.invoke("company_a/one.tar.gz", None))[:2] == refused


def test_rules_refuse_other_models_whether_or_not_they_exist(guarded):
    there, not_there, denied = (
        refusal(lambda name=name: guarded.invoke(name, guarded.tenant_key))
        for name in ("company_b/one.tar.gz", "company_b/two.tar.gz", "company_a/secret.tar.gz")
    )

    assert there[2].replace("one", "two") == not_there[2]
    assert {there[:2], not_there[:2], denied[:2]} == {("AccessDeniedException", 403)}
    assert guarded.invoke("company_b/one.tar.gz", guarded.admin_key)["Body"].read() == b"None"


def test_listing_shows_what_the_caller_may_call(guarded):
    def names(key: str, limit: int) -> list[str]:
        page = guarded.get(f"/endpoints/housing/models?limit={limit}", key).json()
        assert "nextPageToken" not in page
        return [model["modelName"] for model in page["models"]]

    assert names(guarded.tenant_key, 1) == ["company_a/one.tar.gz"]
    assert len(names(guarded.admin_key, 3)) == 3


def test_folder_with_a_denied_model_is_neither_called_nor_listed(guarded):
    guarded.invoke("company_a/one.tar.gz", guarded.tenant_key)
    with pytest.raises(ClientError) as failed:
        guarded.invoke("company_b", guarded.admin_key)
    assert failed.value.response["Error"]["Code"] == "ModelError"

    answers = [
        refusal(lambda name=name: guarded.invoke(name, guarded.tenant_key))
        for name in ("company_b", "company_x", "company_a")
    ]
    page = guarded.get("/endpoints/housing/models", guarded.tenant_key).json()

    assert {answer[:2] for answer in answers} == {("AccessDeniedException", 403)}
    assert [model["modelName"] for model in page["models"]] == ["company_a/one.tar.gz"]


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("GET", "/models/company_b%2Fone.tar.gz", None),
        ("DELETE", "/models/company_b%2Fone.tar.gz", None),
        ("POST", "/models", {"model_name": "company_b/one.tar.gz"}),
    ],
)
def test_management_of_a_model_needs_the_same_right(guarded, method, path, content):
    answers = [
        guarded.server.http.request(
            method, f"/endpoints/housing{path}", json=content, headers={"x-api-key": key}
        )
        for key in (guarded.tenant_key, guarded.admin_key)
    ]

    assert answers[0].status_code == 403
    assert answers[0].json()["__type"] == "AccessDeniedException"
    assert answers[1].status_code != 403


@pytest.mark.parametrize("path", ["/endpoints", "/endpoints/housing/models", "/metrics", "/nope"])
def test_every_path_needs_a_key_but_ping(guarded, path):
    assert guarded.get(path, None).status_code == 403
    assert guarded.get(path, guarded.admin_key).status_code != 403
    assert guarded.get("/ping", None).status_code == 200


def test_class_of_an_api_does_not_see_the_key(guarded):
    headers = {"x-api-key": guarded.tenant_key, "x-other": "kept"}

    answer = guarded.server.http.post("/headers", json={}, headers=headers)
    refused = guarded.server.http.post("/headers", json={})

    assert answer.json()["x-other"] == "kept"
    assert guarded.tenant_key not in answer.text
    assert refused.status_code == 403


def test_large_body_without_a_key_is_refused_in_an_answer_the_client_gets(guarded):
    call = guarded.server.client().invoke_endpoint
    members = {"EndpointName": "housing", "TargetModel": "x", "Body": b"1" * 6_000_000}

    assert refusal(lambda: call(**members))[:2] == ("AccessDeniedException", 403)


def test_key_is_created_listed_rotated_and_deleted(guarded):
    where = "--folder", guarded.folder
    first = modelyard_says("keys", "create", "tenant-a", *where).strip()
    second = modelyard_says("keys", "create", "tenant-a", *where, "--expires", "90d").strip()
    ids = [key.split("_")[1] for key in (first, second)]

    listed = modelyard_says("keys", "list", *where)
    modelyard_says("keys", "delete", ids[0], *where)

    assert all(f"{one}  tenant-a  " in listed for one in ids)
    assert first not in listed
    assert guarded.get("/endpoints", first).status_code == 403
    assert guarded.get("/endpoints", second).status_code == 200
