"""The CDK app; `cdk.json` runs it, and `python app.py` writes the same assembly to `cdk.out`."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "layers/modelyard/python"))  # if it is not installed

from infra.app import build_app
from modelyard.domain.errors import ConfigurationError

try:
    build_app().synth()
except ConfigurationError as error:
    sys.exit(error.message)
