"""Makes many pydantic models that differ in one field, without validating each.

A live request and its blob are made fifty times a second and call.  ``model_construct`` looks at
every field each time, which costs more than all the rest of handing a piece over.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import BaseModel

__all__ = ["ModelStamp"]

ModelT = TypeVar("ModelT", bound=BaseModel)


class ModelStamp(Generic[ModelT]):
    """Copies of a model, each with a value of its own in one field.

    The value is not validated, as in ``model_construct``; everything else is the model's, and
    not copied, so that it has to be immutable.

    Args:
        model: validated; what the copies have in common.
        field: the name of the field in which they differ.
    """

    def __init__(self, model: ModelT, field: str) -> None:
        if field not in type(model).model_fields:
            raise ValueError(f"{type(model).__name__} has no field {field}")
        self._class = type(model)
        self._common = dict(model.__dict__)
        self._field = field
        self._fields_set = {*model.model_fields_set, field}

    def make(self, value: Any) -> ModelT:
        """One more, with this value."""
        made = self._class.__new__(self._class)
        # What pydantic 2 sets itself in ``model_construct``.
        put = object.__setattr__
        put(made, "__dict__", {**self._common, self._field: value})
        put(made, "__pydantic_fields_set__", set(self._fields_set))
        put(made, "__pydantic_extra__", None)
        put(made, "__pydantic_private__", None)
        return made
