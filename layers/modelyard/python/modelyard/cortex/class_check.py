"""A process that imports the class of a project and checks its methods.

It reads the project as one line of JSON from standard input and writes the problem it found, if
any, to standard output. What the project itself prints goes to standard error.
"""

import os
import sys

import orjson

from modelyard.cortex.project import ApiProject
from modelyard.cortex.user_class.caller import UserClass
from modelyard.cortex.user_class.loader import make_importable
from modelyard.domain.errors import ConfigurationError


def main() -> None:
    """Check the class of the project on standard input."""
    answers = os.dup(1)
    os.dup2(2, 1)
    project = ApiProject.from_json(orjson.loads(sys.stdin.buffer.readline()))
    make_importable(project)
    try:
        UserClass(project)
    except ConfigurationError as error:
        os.write(answers, error.message.encode(errors="replace"))
    os._exit(0)  # threads of the project would keep the process alive


if __name__ == "__main__":
    main()
