"""The inference function's entry point."""

import os

from modelyard.bootstrap.lifelong import lifelong

with lifelong():
    from modelyard.bootstrap.inference import handler_of

    handler = handler_of(os.environ)
