"""embedlab shows what a face-recognition model's embedding space looks like, and says so in sentences."""

import importlib
from typing import Any

__version__ = "0.1.0"

# Public names are imported when first used (PEP 562), so that `embedlab --help` stays quick.
_HOMES = {
    "EmbeddingSet": "embedlab.lab.embeddings",
    "Lab": "embedlab.lab.store",
    "UserError": "embedlab.errors",
    "aligned": "embedlab.lab.embeddings",
    "answers": "embedlab.report.show",
    "linked": "embedlab.report.linked",
    "person": "embedlab.report.person",
    "report_of": "embedlab.report.show",
    "show": "embedlab.report.show",
}
__all__ = [
    "EmbeddingSet",
    "Lab",
    "UserError",
    "__version__",
    "aligned",
    "answers",
    "linked",
    "person",
    "report_of",
    "show",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'embedlab' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
