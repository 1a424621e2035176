"""Records: the kinds of classes that msgspec or pydantic can take apart and build again."""

from __future__ import annotations

import dataclasses
import enum
import sys
from functools import lru_cache
from typing import Any, cast

_LISTED = (tuple, set, frozenset)
_BUILT_IN = (str, int, float, bytes, list, dict, *_LISTED)
_PYDANTIC_LEAVES = ("pydantic", "ipaddress", "pathlib")


class Unrestorable(ValueError):
    """A value that a type refused while it was restored; carries no part of the value."""


def is_pydantic(cls: object) -> bool:
    """Whether a class is a pydantic model; pydantic is not imported for the answer."""
    return hasattr(cls, "__pydantic_validator__") and hasattr(cls, "model_fields")


@lru_cache(maxsize=4096)
def field_names(cls: Any) -> tuple[str, ...] | None:
    """The attributes that make up a struct, dataclass, attrs class or NamedTuple, or None."""
    if hasattr(cls, "__struct_fields__"):
        return tuple(cls.__struct_fields__)
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls))
    if hasattr(cls, "__attrs_attrs__"):
        return tuple(field.name for field in cls.__attrs_attrs__)
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return tuple(cls._fields)
    return None


def model_state(model: Any) -> dict[str, object]:
    """The fields of a pydantic model by name, with the extra ones; excluded fields included."""
    fields = type(model).model_fields
    state = {name: value for name, value in model.__dict__.items() if name in fields}
    return {**state, **(model.__pydantic_extra__ or {})}


def wire_form(value: Any) -> object:
    """One level of a record as `msgspec.convert` takes it, or None for anything that is none."""
    cls: Any = type(value)
    if isinstance(value, enum.Enum):
        return value.value
    if is_pydantic(cls):
        return model_state(value)
    names = field_names(cls)
    if names is None:
        return leaf_form(value)
    if hasattr(cls, "__struct_config__"):
        return _struct_form(value)
    if issubclass(cls, tuple):
        return list(value)
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _struct_form(value: Any) -> object:
    config = value.__struct_config__
    values = [getattr(value, name) for name in value.__struct_fields__]
    if config.array_like:
        return values if config.tag is None else [config.tag, *values]
    tagged = {} if config.tag is None else {config.tag_field: config.tag}
    return {**tagged, **dict(zip(value.__struct_encode_fields__, values, strict=True))}


def leaf_form(value: object) -> object:
    """The built-in form of a subclass of str, int, float or bytes, and of pydantic's own types."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, bytes):
        return bytes(memoryview(value))
    return _pydantic_leaf(value)


def _pydantic_leaf(value: object) -> object:
    core = sys.modules.get("pydantic_core")
    if core is None or not type(value).__module__.startswith(_PYDANTIC_LEAVES):
        return None
    try:
        return cast("object", core.to_jsonable_python(value))
    except core.PydanticSerializationError:
        return None


def enc_hook(value: object) -> object:
    """Take apart what msgspec does not know: pydantic models, and subclasses of str and alike."""
    form = model_state(value) if is_pydantic(type(value)) else leaf_form(value)
    if form is not None:
        return form
    msg = f"objects of type {type(value).__qualname__} are not supported"
    raise TypeError(msg)


def dec_hook(cls: Any, state: object) -> object:
    """Build what msgspec does not know, of a class that the annotation names."""
    cls = getattr(cls, "__origin__", cls)
    if is_pydantic(cls):
        return _restore_model(cls, state)
    if isinstance(cls, type) and issubclass(cls, _BUILT_IN) and _is_base(type(state), cls):
        return cast("Any", cls)(state)
    msg = f"objects of type {getattr(cls, '__qualname__', cls)} are not supported"
    raise Unrestorable(msg)


def _is_base(kind: type, cls: type) -> bool:
    return kind in cls.__mro__ or (kind is list and issubclass(cls, _LISTED))


def _restore_model(cls: Any, state: object) -> object:
    from pydantic import ValidationError

    try:
        return cls.model_validate(state, strict=False, by_alias=False, by_name=True)
    except ValidationError as error:
        places = {str((*one["loc"], "itself")[0]) for one in error.errors()}
        msg = f"{cls.__qualname__} refuses {', '.join(sorted(places))}"
    raise Unrestorable(msg)
