"""Check a record's array fields against the dtype and shape they declare."""

import dataclasses
import typing

import numpy as np
from jaxtyping import AbstractArray, jaxtyped


@jaxtyped(typechecker=None)
def check_shapes(record: object) -> None:
    """Check every jaxtyping-annotated field of a dataclass instance.

    Dimensions of one name must agree between fields: with ``edges: Float[np.ndarray, " bins+1"]``
    and ``counts: Int[np.ndarray, " bins"]`` the first has one element more than the second.

    Raises
    ------
    TypeError
        If a field's dtype or shape is not the declared one. This is a bug in the code that made
        the record, never a mistake of the user.
    """
    name = type(record).__name__
    hints = typing.get_type_hints(type(record))
    declared = [
        (field.name, hints[field.name])
        for field in dataclasses.fields(record)  # type: ignore[arg-type]
        if isinstance(hints[field.name], type) and issubclass(hints[field.name], AbstractArray)
    ]
    # Plain names are bound before sums of them ("bins+1") can be checked.
    declared.sort(key=lambda pair: "+" in pair[1].dim_str or "-" in pair[1].dim_str)
    for field_name, hint in declared:
        value = getattr(record, field_name)
        if not isinstance(value, hint):
            got = f"{value.dtype}{list(value.shape)}" if isinstance(value, np.ndarray) else type(value)
            raise TypeError(f"{name}.{field_name} is {got}, not {hint.__name__}")
