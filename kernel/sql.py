"""Named queries from .sql files: each starts with a line `-- name: what_it_answers`."""

import re
from pathlib import Path

NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def queries(path: Path) -> dict[str, str]:
    """Returns the queries of a file by name. Raises ValueError for a file with text before its first name."""
    head, *parts = NAME.split(path.read_text())
    if [line for line in head.splitlines() if line and not line.startswith("--")]:
        raise ValueError(f"{path}: text before the first '-- name:'")
    return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}
