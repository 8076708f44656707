"""The router function's entry point."""

import os

from modelyard.aws.lifelong import lifelong

with lifelong():
    from modelyard.aws.router import handler_of

    handler = handler_of(os.environ)
