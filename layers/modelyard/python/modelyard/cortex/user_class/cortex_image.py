"""What Cortex's images had beside a project: Python packages, and Cortex's own logger.

A project of Cortex need not list these packages in its requirements.txt. Here they are installed
like any other; an import that fails names the package for pip.
"""

import importlib.util
import logging
import sys
from types import ModuleType

_PACKAGE_OF_MODULE = {
    "Cython": "Cython",
    "PIL": "Pillow",
    "boto3": "boto3",
    "cloudpickle": "cloudpickle",
    "cv2": "opencv-python",
    "dill": "dill",
    "fastapi": "fastapi",
    "joblib": "joblib",
    "keras": "Keras",
    "msgpack": "msgpack",
    "nltk": "nltk",
    "np_utils": "np-utils",
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "pandas": "pandas",
    "requests": "requests",
    "scipy": "scipy",
    "six": "six",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "statsmodels": "statsmodels",
    "sympy": "sympy",
    "tensorflow": "tensorflow",
    "tensorflow_hub": "tensorflow-hub",
    "torch": "torch",
    "torchvision": "torchvision",
    "xgboost": "xgboost",
    "yaml": "PyYAML",
}
"""The names for pip of the packages in the images of Cortex v0.24, by the module imported."""

_LOG = "cortex_internal.lib.log"


def image_package(module: str) -> str | None:
    """Return the name for pip of the package in Cortex's images that has a module, if any has.

    `module` is the name in a ModuleNotFoundError. A dotted one is missing in an installed package.
    """
    return _PACKAGE_OF_MODULE.get(module)


def install_cortex_internal() -> None:
    """Make `from cortex_internal.lib.log import logger` (Cortex v0.31 to v0.34) importable.

    Its lines appear in the log of the server. A module of this name that exists is left alone.
    """
    if "cortex_internal" in sys.modules or importlib.util.find_spec("cortex_internal") is not None:
        return
    logger = logging.getLogger("cortex")
    for name in ("cortex_internal", "cortex_internal.lib", _LOG):
        module = ModuleType(name, "A module of Cortex, provided by Modelyard.")
        vars(module)["__path__"] = []
        parent, _, own_name = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], own_name, module)
        sys.modules[name] = module
    vars(sys.modules[_LOG])["logger"] = logger
