"""Files of lines "person image number number …", as word2vec writes its text form."""

from pathlib import Path
from typing import Any

import numpy as np

from embedlab import UserError


def read(path: Path) -> dict[str, Any]:
    """Read such a file."""
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not rows or len({len(row) for row in rows}) > 1:
        raise UserError(f"{path}: lines are not equally long: give each a person, an image and d numbers")
    return {
        "vectors": np.array([row[2:] for row in rows], dtype=np.float32),
        "items": [row[1] for row in rows],
        "identities": [row[0] for row in rows],
    }
