"""Which tests run in one process when pytest-xdist spreads them over several."""

from xdist.scheduler import LoadFileScheduling

TOGETHER = {
    "tests/infra/test_": "CDK",
    "tests/functional/test_cortex_tensorflow.py": "TensorFlow",
    "tests/functional/test_tensorflow_models.py": "TensorFlow",
    "tests/unit/cortex/clients/test_cortex_clients.py": "TensorFlow",
    "tests/unit/runtimes/test_saved_model.py": "TensorFlow",
    "tests/unit/runtimes/test_tensorflow.py": "TensorFlow",
}
"""What files share that takes a process many seconds, by the beginning of their path."""


class FilesTogether(LoadFileScheduling):
    """Gives all tests of a file to one process, and so those of files that share much."""

    def _split_scope(self, nodeid: str) -> str:
        shared = (name for beginning, name in TOGETHER.items() if nodeid.startswith(beginning))
        return next(shared, super()._split_scope(nodeid))
