"""Have schemathesis try a real server: `python -m tests.functional.schema_run SCHEMATHESIS`."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.functional import artifacts
from tests.functional.served import DirectoryModels
from tests.serving import Server

SCHEMA = Path(__file__).with_name("openapi.yaml")
PROTOCOLS = Path(__file__).with_name("openapi-protocols.yaml")
# What is refused here and what is taken is not up to a schema: endpoints and models exist or not.
NOT_SAID = "positive_data_acceptance,negative_data_rejection,ignored_auth,unsupported_method"
NOT_SAID += ",missing_required_header,ensure_resource_availability,use_after_free"
# Their word for a broken model is 500; a defect is in the log, which `run` looks at.
IN_PROTOCOLS = ",not_a_server_error"
OF_OURS = ("--checks", "all", "--continue-on-failure")
OF_OURS += ("--phases", "examples,coverage,fuzzing", "--request-timeout", "60", "--no-color")


def run(command: str, *options: str, schema: Path = SCHEMA) -> subprocess.CompletedProcess[str]:
    """Run schemathesis against a server of a good, another and a broken model."""
    with TemporaryDirectory() as folder:
        repository = DirectoryModels(Path(folder) / "yard")
        repository.put("good.onnx", artifacts.onnx())
        repository.put("tree.tar.gz", artifacts.house())
        repository.put("broken.tar.gz", b"no archive")
        with Server(repository.target) as server:
            arguments = [
                str(Path(command).absolute()),
                "run",
                str(schema),
                "--url",
                server.url,
                "--exclude-checks",
                NOT_SAID + (IN_PROTOCOLS if schema == PROTOCOLS else ""),
                *OF_OURS,
                *options,
            ]
            done = subprocess.run(
                arguments, cwd=folder, capture_output=True, text=True, check=False, timeout=1800
            )
            assert "request failed" not in server.log, server.log
            assert "Traceback" not in server.log, server.log
    return done


if __name__ == "__main__":
    codes = []
    for described in (SCHEMA, PROTOCOLS):
        finished = run(sys.argv[1], *sys.argv[2:], schema=described)
        sys.stdout.write(finished.stdout + finished.stderr)
        codes.append(finished.returncode)
    sys.exit(max(codes))
