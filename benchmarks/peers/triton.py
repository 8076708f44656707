"""Triton with its Python backend, the only backend of the server in PyTriton's wheel."""

import os
import shutil
import sysconfig
from pathlib import Path

from benchmarks import environments
from benchmarks.environments import CannotRunError
from benchmarks.kinds import VALUES, Kind
from benchmarks.load.http_messages import get
from benchmarks.peers import v2_protocol
from benchmarks.peers.per_model_folders import lay_out, stem
from benchmarks.peers.system import APPS, Serving, System
from benchmarks.servers import Command, free_port

_CONFIG = """backend: "python"
max_batch_size: 0
input [{{ name: "input" data_type: TYPE_FP32 dims: [-1, {features}] }}]
output [{{ name: "output" data_type: TYPE_FP32 dims: [-1] }}]
instance_group [{{ count: 1 kind: KIND_CPU }}]
parameters {{ key: "FILE" value {{ string_value: "{file}" }} }}
"""


class Triton(System):
    """Triton with explicit model control; the backend has one process per model."""

    name = "triton_python"
    environment = "triton_python"
    loads_on_call = False
    doors = ("v2",)
    has_room_for_some = True
    is_process_per_model = True

    def prepare(self) -> None:
        """Create the environment and link the backend beside the stub of this Python.

        Raises:
            CannotRunError: the wheel has no stub for this Python, or cannot be installed.
        """
        super().prepare()
        server = self._packages / "pytriton" / "tritonserver"
        version = sysconfig.get_python_version()
        stub = server / "python_backend_stubs" / version / "triton_python_backend_stub"
        if not stub.is_file():
            raise CannotRunError(f"has no stub for Python {version}")
        self._backends.mkdir(exist_ok=True)
        linked = self._backends / "python"
        shutil.rmtree(linked, ignore_errors=True)
        shutil.copytree(server / "backends" / "python", linked)
        shutil.copy(stub, linked)

    def command(self, serving: Serving, port: int, folder: Path) -> Command:
        """Return the command that starts the server."""
        root = lay_out(serving.repository, folder, _write_model, place="1")
        server = self._packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"
        argv = [str(server), "--model-repository", str(root), "--model-control-mode", "explicit"]
        argv += ["--backend-directory", str(self._backends), "--allow-grpc", "false"]
        argv += ["--http-address", "127.0.0.1", "--http-port", str(port), "--log-info", "false"]
        argv += ["--metrics-address", "127.0.0.1", "--metrics-port", str(free_port())]
        libraries = (self._packages / "nvidia_pytriton.libs", sysconfig.get_config_var("LIBDIR"))
        folders = (self._packages, APPS)
        environ = {
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
            "PYTHON_FOLDERS": os.pathsep.join(map(str, folders)),
        }
        return Command(argv, environ)

    def request(self, kind: Kind, model: str) -> bytes:
        """Return an inference request."""
        return v2_protocol.infer(stem(model))

    def is_ready(self, port: int) -> bool:
        """Return whether the server is alive."""
        return get(port, "/v2/health/live").status == 200

    def load(self, port: int, serving: Serving, number: int) -> None:
        """Load a model by the server's load API."""
        v2_protocol.load(port, stem(serving.repository.name(number)))

    def unload(self, port: int, serving: Serving, number: int) -> None:
        """Unload a model by the server's unload API."""
        v2_protocol.unload(port, stem(serving.repository.name(number)))

    @property
    def _packages(self) -> Path:
        home = environments.FOLDER / self.environment
        return home / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"

    @property
    def _backends(self) -> Path:
        return environments.FOLDER / self.environment / "backends"


def _write_model(model_dir: Path, file_name: str) -> None:
    shutil.copy(APPS / "triton_app.py", model_dir / "1" / "model.py")
    config = _CONFIG.format(features=len(VALUES), file=file_name)
    (model_dir / "config.pbtxt").write_text(config)
