"""The router function's entry point."""

import os

from modelyard.bootstrap.lifelong import lifelong

with lifelong():
    from modelyard.bootstrap.router import handler_of

    handler = handler_of(os.environ)
