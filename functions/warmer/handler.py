"""The warmer function's entry point."""

import os

from modelyard.aws.frozen_imports import frozen_imports

with frozen_imports():
    from modelyard.aws.warmer import handler_of

    handler = handler_of(os.environ)
