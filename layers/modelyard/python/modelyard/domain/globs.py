"""Globs over the names of models and callers: `*` is any run of characters, `?` any one."""

import re
from functools import lru_cache


def matches(glob: str, text: str) -> bool:
    """Return whether the glob matches the whole text.

    `*` matches any characters, including `/`; `?` matches one character. Case matters.
    """
    return _compiled(glob).fullmatch(text) is not None


@lru_cache(maxsize=4096)
def _compiled(glob: str) -> re.Pattern[str]:
    first, *rest = (re.escape(part).replace(r"\?", ".") for part in glob.split("*"))
    # Atomic groups prevent backtracking: for a glob, the first position that matches is as good as
    # any other. The time stays linear, however many stars there are.
    middle = "".join(f"(?>.*?{part})" for part in rest[:-1])
    return re.compile(first + middle + (f".*{rest[-1]}" if rest else ""), re.DOTALL)
