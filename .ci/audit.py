"""Audit pinned requirements with pip-audit: `python .ci/audit.py FILE ...`.

Exit code 0: every package was asked about and none has a known weakness; 1: some has; 2: some could
not be asked about, as without a network. pip-audit itself calls the last case a success.
"""

import json
import subprocess
import sys
from typing import Any


def main(files: list[str]) -> int:
    """Print what is known of each file's packages."""
    return max(map(_audit, files), default=2)


def _audit(file: str) -> int:
    found = _dependencies(file)
    unknown = [item for item in found if "skip_reason" in item]
    weak = [item for item in found if item.get("vulns")]
    _say(
        f"{file}: {len(found)} packages, {len(weak)} weak, {len(unknown)} could not be asked about"
    )
    for item in weak:
        names = ", ".join(weakness["id"] for weakness in item["vulns"])
        _say(f"  {item['name']} {item['version']}: {names}")
    if unknown or not found:
        _say("  no answer is no good news: audit again where PyPI's JSON API can be reached")
    return 1 if weak else 2 if unknown or not found else 0


def _dependencies(file: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes"]
    command += ["--progress-spinner", "off", "--format", "json", "-r", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        _say(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no output")
        return []
    return found


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
