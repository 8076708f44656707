"""The CDK app; `cdk.json` runs it."""

import sys

from infra.app import build_app
from modelyard.domain.errors import ConfigurationError

try:
    build_app().synth()
except ConfigurationError as error:
    sys.exit(error.message)
