"""Objects of asynchronous invocations, in a folder and in S3."""

from pathlib import Path

import pytest

from modelyard.domain.errors import DependencyError, InvalidRequestError, PayloadTooLargeError
from modelyard.repositories import opening
from modelyard.repositories.objects import Objects


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place with nothing in it."""
    if request.param == "folder":
        return f"{tmp_path.as_uri()}/"
    opening.s3_client.cache_clear()  # the client of another test has another server
    return f"s3://{request.getfixturevalue('s3_bucket')}/results/"


def test_object_is_read_as_it_was_written(place: str) -> None:
    objects, uri = Objects(), f"{place}today/1.out"

    objects.write(uri, b"first, which was longer", None)
    objects.write(uri, b"second", "text/plain")

    assert objects.read(uri, place, 6) == b"second"


def test_object_that_is_too_large_is_refused(place: str) -> None:
    Objects().write(f"{place}1.out", b"seven b", None)

    with pytest.raises(PayloadTooLargeError, match="6 bytes"):
        Objects().read(f"{place}1.out", place, 6)


def test_missing_object_is_the_callers_mistake(place: str) -> None:
    with pytest.raises(InvalidRequestError, match="not there"):
        Objects().read(f"{place}nothing", place, 6)


def test_bucket_that_is_not_there_is_a_dependency_error(s3_bucket: str) -> None:
    opening.s3_client.cache_clear()

    with pytest.raises(DependencyError, match="S3 answered 404"):
        Objects().write(f"s3://{s3_bucket}-not/1.out", b"1", None)


def test_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    place = tmp_path / "inputs"
    place.mkdir()
    (place / "link").symlink_to(tmp_path / "secret")

    with pytest.raises(InvalidRequestError, match="not there"):
        Objects().read((place / "link").as_uri(), f"{place.as_uri()}/", 100)


def test_file_that_cannot_be_written_is_a_dependency_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DependencyError, match="cannot be used"):
        Objects().write((tmp_path / "file" / "below").as_uri(), b"1", None)
