"""Fields of ADK's ``RunConfig`` as JSON or an agent has them, turned into what ADK takes.

Each field is tried by itself, so that a value that does not fit is named, and where in it.
Read in google-adk 2.13.0 and google-genai 2.34.0: enumerations go by their names, in any
case, where ADK's own would go by value; of a name that they do not know google-genai makes a new
member, and something that is no name at all raises whatever it raises.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from enum import Enum
from typing import Any, get_args

from google.adk.agents.run_config import RunConfig
from pydantic import BaseModel, ValidationError

from ..errors import RtcServerError
from ..untrusted_json import MAX_DEPTH, is_deeper_than

__all__ = ["UnfitField", "fields_of", "typed_fields"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


class UnfitField(RtcServerError):
    """A field, or what stands in it, is not one of ``RunConfig``; ``path`` says which."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def fields_of(run_config: RunConfig | Mapping[str, Any]) -> Mapping[str, Any]:
    """What somebody set, and not what ADK sets where he did not."""
    if isinstance(run_config, RunConfig):
        return {name: run_config.__dict__[name] for name in run_config.model_fields_set}
    return run_config


def typed_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The same fields with values of ADK's types.

    Raises:
        UnfitField: the first that does not fit.  Its path holds names and nothing of a value.
    """
    typed: dict[str, Any] = {}
    for name, value in fields.items():
        typed.update(_typed(name, value))
    return typed


def _typed(name: str, value: Any) -> dict[str, Any]:
    shown = _shown(name)
    if name not in RunConfig.model_fields or is_deeper_than(MAX_DEPTH, value):
        raise UnfitField(shown)
    value = _by_name(RunConfig.model_fields[name].annotation, value, shown)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of is found below, or of no interest
            config = RunConfig.model_validate({name: value})
    except ValidationError as error:
        raise UnfitField(_path(error.errors()[0]["loc"]) or shown) from None
    except Exception:  # of google-genai's enumerations, for what is not even a string
        raise UnfitField(shown) from None
    typed = {one: config.__dict__[one] for one in config.model_fields_set}
    if "save_live_blob" in typed:
        typed.pop("save_live_audio", None)  # its old name
    for one, found in typed.items():
        _check_enumerations(one, found)
    return typed


def _by_name(kind: Any, value: Any, path: str) -> Any:
    """``value`` with the members that it names in ADK's own enumerations, which go by value.

    Raises:
        UnfitField: true or false stands for a number, which pydantic would take for 1 or 0.
    """
    kinds = [one for one in (kind, *get_args(kind)) if isinstance(one, type)]
    if isinstance(value, bool):
        if bool not in kinds and (int in kinds or float in kinds):
            raise UnfitField(path)
    elif isinstance(value, str):
        for one in kinds:
            if issubclass(one, Enum) and value.upper() in one.__members__:
                return one[value.upper()]
    elif isinstance(value, Mapping):
        models = [one for one in kinds if issubclass(one, BaseModel)]
        fields = models[0].model_fields if models else {}
        by_alias = {field.alias: field for field in fields.values() if field.alias}
        return {
            name: _by_name(field.annotation, one, f"{path}.{_shown(name)}")
            if (field := fields.get(name) or by_alias.get(name)) is not None
            else one
            for name, one in value.items()
        }
    return value


def _check_enumerations(path: str, value: object) -> None:
    match value:
        case Enum():
            if value.name not in type(value).__members__:
                raise UnfitField(path)
        case BaseModel():
            for name in value.model_fields_set:
                _check_enumerations(f"{path}.{_shown(name)}", value.__dict__.get(name))
        case list() | tuple():
            for one in value:
                _check_enumerations(path, one)


def _path(location: tuple[int | str, ...]) -> str:
    """``a.b`` of where pydantic found the fault; its numbers say nothing to a person."""
    return ".".join(_shown(one) for one in location if isinstance(one, str))


def _shown(name: object) -> str:
    """A name that may be repeated to whoever sent it."""
    return name if isinstance(name, str) and _NAME.fullmatch(name) else "?"
