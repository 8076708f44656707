"""Run what a page shows, as a reader would, against a server of the test."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.docs import pages
from tests.serving import COMMANDS, KEYS, clean_environment

SHOWN_URL = "http://127.0.0.1:8080"
_NUMBER = re.compile(r"-?\d+\.\d+")
_TIMEOUT_S = 600
_TOLERANCE = 0.02


class Reader:
    """Somebody in the project's folder who tries out what is written there."""

    def __init__(self, folder: Path, url: str = SHOWN_URL) -> None:
        self._folder = folder
        self._url = url
        folder.mkdir(exist_ok=True)
        (folder / "examples").symlink_to(pages.ROOT / "examples")

    def run(self, words: list[str]) -> str:
        """Return what a command prints; it must succeed."""
        words = [word.replace(SHOWN_URL, self._url) for word in words]
        if words[0] == "modelyard":
            words = [*words, "--url", self._url]
        path = f"{COMMANDS}{os.pathsep}{os.environ.get('PATH', '')}"
        done = subprocess.run(
            words,
            check=False,
            cwd=self._folder,
            env=clean_environment() | {"PATH": path, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )
        assert done.returncode == 0, f"{words} said: {done.stderr}"
        return done.stdout.strip()

    def run_python(self, snippet: str, python: str = sys.executable) -> str:
        """Return what a Python snippet prints."""
        shown, own = (url.removeprefix("http://") for url in (SHOWN_URL, self._url))
        warnings = ["-W", "error"] if python == sys.executable else []  # not those of others
        return self.run([python, *warnings, "-c", snippet.replace(shown, own)])


def run_example(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the examples to its end."""
    return subprocess.run(
        [sys.executable, str(pages.ROOT / "examples" / script), *arguments],
        check=False,
        env=clean_environment() | {name.upper(): key for name, key in KEYS.items()},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
    )


def is_alike(printed: str, shown: str) -> bool:
    """Return whether two texts are equal but for blanks and small differences of numbers."""
    numbers, expected = _NUMBER.findall(printed), _NUMBER.findall(shown)
    words = [_NUMBER.sub("#", "".join(text.split())) for text in (printed, shown)]
    return words[0] == words[1] and all(
        math.isclose(float(one), float(other), rel_tol=_TOLERANCE)
        for one, other in zip(numbers, expected, strict=True)
    )
