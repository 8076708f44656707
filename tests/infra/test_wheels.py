"""What images install exists as wheels for their processor."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.markers import Marker

from tests.infra.synthesis import ROOT

PINS = sorted((ROOT / "functions" / "inference" / "requirements").glob("*.txt"))
PYTHON = re.search(r"lambda/python:(3\.\d+)", (ROOT / "functions/inference/Dockerfile").read_text())

LIBC = ("manylinux2014", *(f"manylinux_2_{minor}" for minor in range(17, 35)))
"""Those that Amazon Linux 2023 has, with glibc 2.34."""


@pytest.mark.long
@pytest.mark.timeout(900)  # pip fetches TensorFlow's wheels to read their metadata
@pytest.mark.parametrize("machine", ["aarch64", "x86_64"])
def test_every_pin_of_an_image_is_there_for_its_processor(machine: str, tmp_path: Path) -> None:
    """All images at once: they pin the same version of a package, or pip refuses the file."""
    assert PYTHON is not None
    texts = [path.read_text() for path in PINS]
    pins = {pin for text in texts for pin in pins_for(text, machine, PYTHON[1])}
    needed = tmp_path / "needed.txt"
    needed.write_text("".join(sorted(pins)))

    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps"),
            *("--require-hashes", "--only-binary=:all:", "--implementation", "cp"),
            *("--python-version", PYTHON[1], "--target", str(tmp_path / "target")),
            "--ignore-requires-python",  # pip would compare it with the Python that runs it
            *(f"--platform={libc}_{machine}" for libc in LIBC),
            *("-r", str(needed)),
        ],
        check=True,
        timeout=880,
    )


def pins_for(text: str, machine: str, python: str) -> Iterator[str]:
    """Yield the pins whose markers hold on a machine; pip would evaluate them for this one."""
    facts = {
        "platform_machine": machine,
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    for pin in re.findall(r"^[a-zA-Z0-9](?:.*\\\n)*.*\n", text, re.MULTILINE):
        first, _, rest = pin.partition("\n")
        name, _, marker = first.removesuffix("\\").partition(";")
        if not marker.strip() or Marker(marker).evaluate(facts):
            yield f"{name.strip()} \\\n{rest}"
