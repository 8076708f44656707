"""Each function has the parts of the package that it imports, and no file that it cannot import."""

from functools import cache
from pathlib import Path

import grimp
import pytest

from infra.package_parts import OF_IMAGES, OF_LAYER, copy_package

BY_NAME = ("modelyard.cortex", "modelyard.inference", "modelyard.runtimes")
"""Rooms of which an inference function imports modules by their names, or runs them."""
HANDLERS = {
    OF_IMAGES: ("modelyard.aws.inference", "modelyard.aws.frozen_imports"),
    OF_LAYER: ("modelyard", "modelyard.aws.router", "modelyard.aws.warmer"),
}


@cache
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("modelyard", cache_dir=None, exclude_type_checking_imports=True)


def imported(roots: tuple[str, ...]) -> set[str]:
    found = set(roots)
    for root in roots:
        found |= imports().find_upstream_modules(root)
    return found


def modules_in(folder: Path) -> set[str]:
    names = {path.relative_to(folder).with_suffix("") for path in folder.rglob("*.py")}
    dotted = {"modelyard." + name.as_posix().replace("/", ".") for name in names}
    return {name.removesuffix(".__init__") for name in dotted}


@pytest.mark.parametrize("parts", HANDLERS, ids=["image", "layer"])
def test_function_has_every_module_that_it_imports(parts: tuple[str, ...], tmp_path: Path) -> None:
    copy_package(parts, tmp_path)

    packages = {name for name in imported(HANDLERS[parts]) if (tmp_path / _path(name)).is_dir()}
    assert imported(HANDLERS[parts]) - packages <= modules_in(tmp_path)


@pytest.mark.parametrize("parts", HANDLERS, ids=["image", "layer"])
def test_rooms_of_a_function_are_those_it_imports(parts: tuple[str, ...], tmp_path: Path) -> None:
    copy_package(parts, tmp_path)
    by_name = tuple(
        name for name in imports().modules if parts is OF_IMAGES and name.startswith(BY_NAME)
    )

    needed = imported((*HANDLERS[parts], *by_name))
    rooms = {name.split(".")[1] for name in needed if "." in name}
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == rooms
    aws = {name for name in modules_in(tmp_path) if name.startswith("modelyard.aws.")}
    assert aws <= needed | {"modelyard.aws.frozen_imports"}


def _path(name: str) -> str:
    return name.removeprefix("modelyard").lstrip(".").replace(".", "/")
