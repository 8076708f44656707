"""The CDK app; `cdk.json` runs it, and `python app.py` writes the same assembly to `cdk.out`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "layers/modelyard/python"))  # of this checkout

from infra.app import build_app
from modelyard.domain.errors import ConfigurationError

try:
    build_app().synth()
except ConfigurationError as error:
    sys.exit(error.message)
