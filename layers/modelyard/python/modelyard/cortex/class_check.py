"""A process that imports the class of a project, checks it, and says what is wrong with it.

The project arrives as one line on standard input, the problem leaves on standard output: nothing
if there is none. What the project prints goes to standard error.
"""

import os
import sys

import orjson

from modelyard.cortex.project import ApiProject
from modelyard.cortex.user_class.caller import UserClass
from modelyard.cortex.user_class.loader import make_importable
from modelyard.domain.errors import ConfigurationError


def main() -> None:
    """Check one class."""
    answers = os.dup(1)
    os.dup2(2, 1)
    project = ApiProject.from_json(orjson.loads(sys.stdin.buffer.readline()))
    make_importable(project)
    try:
        UserClass(project)
    except ConfigurationError as error:
        os.write(answers, error.message.encode(errors="replace"))
    os._exit(0)  # threads that the project started do not keep the process alive


if __name__ == "__main__":
    main()
