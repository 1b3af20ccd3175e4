"""Tables of pandas, for a notebook; no number of a result comes from here."""

from collections.abc import Iterable, Mapping
from typing import Any

from embedlab.errors import UserError


def frame(content: Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> Any:
    """Give columns, or rows, as a ``pandas.DataFrame``.

    Raises
    ------
    UserError
        If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise UserError("this needs pandas, which is not installed: `pip install pandas`") from None
    return pd.DataFrame(content if isinstance(content, Mapping) else list(content))
