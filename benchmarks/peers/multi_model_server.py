"""multi-model-server, which SageMaker's own multi-model containers use."""

from pathlib import Path

from benchmarks import environments
from benchmarks.kinds import ROW, Kind
from benchmarks.load.http_messages import ask, render
from benchmarks.peers.per_model_folders import lay_out, stem
from benchmarks.peers.system import APPS, Serving, System
from benchmarks.servers import Command, ServerError

_CONFIG = """inference_address=http://127.0.0.1:{port}
management_address=http://127.0.0.1:{port}
default_workers_per_model=1
default_service_handler=mms_app.py:handle
preload_model=false
"""
_QUIET = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration><Appenders><Console name="out"/></Appenders>
<Loggers><Root level="error"><AppenderRef ref="out"/></Root></Loggers></Configuration>
"""


class MultiModelServer(System):
    """One worker per model, configured as by SageMaker's toolkit; no access log."""

    name = "multi_model_server"
    environment = "multi_model_server"
    warm_up_s = (
        4.0  # until the Java virtual machine has compiled its code, the server is half as fast
    )
    loads_on_call = False
    has_room_for_some = True
    is_process_per_model = True
    needs = "java"

    def command(self, serving: Serving, port: int, folder: Path) -> Command:
        """Return the command that starts the server."""
        root = lay_out(serving.repository, folder, lambda model_dir, file_name: None)
        config, quiet = folder / "mms.properties", folder / "log4j2.xml"
        config.write_text(_CONFIG.format(port=port))
        quiet.write_text(_QUIET)
        binaries = environments.binaries(self.environment)
        argv = [str(binaries / "multi-model-server"), "--start", "--foreground"]
        argv += ["--mms-config", str(config), "--log-config", str(quiet)]
        argv += ["--model-store", str(root)]
        environ = {"PYTHONPATH": str(APPS), "TMPDIR": str(folder), "TEMP": str(folder)}
        return Command(argv, environ)

    def request(self, kind: Kind, model: str) -> bytes:
        """Return a prediction request."""
        return render(f"/predictions/{stem(model)}", {"Content-Type": "text/csv"}, ROW)

    def load(self, port: int, serving: Serving, number: int) -> None:
        """Register the model and wait for its worker.

        Raises:
            ServerError: the server refuses.
        """
        name = stem(serving.repository.name(number))
        query = f"url={name}&model_name={name}&handler=mms_app.py:handle"
        self._expect(port, "POST", f"/models?{query}&initial_workers=1&synchronous=true")

    def unload(self, port: int, serving: Serving, number: int) -> None:
        """Unregister the model.

        Raises:
            ServerError: the server refuses.
        """
        self._expect(port, "DELETE", f"/models/{stem(serving.repository.name(number))}")

    def _expect(self, port: int, method: str, path: str) -> None:
        reply = ask(port, render(path, {}, method=method))
        if reply.status != 200:
            raise ServerError(f"{method} {path}: {reply.status} {reply.body[:300]!r}")
