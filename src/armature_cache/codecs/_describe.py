"""What a type is called: a description that is the same in every process, and its 64-bit id."""

from __future__ import annotations

import enum
import types
import typing
from hashlib import blake2b

_SELF_DESCRIBING = frozenset((str, int, float, bool, bytes, type(None), list, dict, object))


def unwrap(as_type: object) -> object:
    """A type without the names around it: NewType, Annotated and `type X = ...` are taken off."""
    while True:
        if as_type is None:
            return type(None)
        if isinstance(as_type, typing.NewType):
            as_type = as_type.__supertype__
        elif typing.get_origin(as_type) is typing.Annotated:
            as_type = typing.get_args(as_type)[0]
        elif type(as_type).__name__ == "TypeAliasType":
            as_type = as_type.__value__  # type: ignore[attr-defined]
        else:
            return as_type


def is_self_describing(as_type: object) -> bool:
    """Whether a type says nothing that the payload does not say itself, as `str` or `Any`."""
    bare = unwrap(as_type)
    if bare is typing.Any or bare is typing.List or bare is typing.Dict:  # noqa: UP006
        return True
    return isinstance(bare, type) and bare in _SELF_DESCRIBING


def default_name(cls: type) -> str:
    """A class's module and qualified name."""
    return f"{cls.__module__}.{cls.__qualname__}"


def type_name(as_type: object) -> str:
    """A type as messages name it: short for built-in classes, qualified for all others."""
    if isinstance(as_type, type):
        return as_type.__qualname__ if as_type.__module__ == "builtins" else default_name(as_type)
    return str(as_type)


def describe(as_type: object) -> str:  # noqa: PLR0911  one line per kind
    """The text that identifies a type in every process: names, arguments and alternatives.

    Metadata of `Annotated` and the order of a union's members do not matter; fields do not either,
    as a payload that no longer fits a changed class fails to decode.
    """
    if isinstance(as_type, list | tuple):
        return f"[{_joined(as_type)}]"
    if type(as_type).__name__ == "TypeAliasType":
        return f"{as_type.__module__}.{as_type.__name__}"  # type: ignore[attr-defined]
    bare = unwrap(as_type)
    if isinstance(bare, type) and not typing.get_args(bare):
        return _describe_class(bare)
    origin = typing.get_origin(bare)
    if origin is typing.Union or origin is types.UnionType:
        members = sorted({describe(member) for member in typing.get_args(bare)})
        return f"Union[{','.join(members)}]"
    if origin is typing.Literal:
        return f"Literal[{','.join(sorted(map(_describe_literal, typing.get_args(bare))))}]"
    if origin is not None:
        return f"{describe(origin)}[{_joined(typing.get_args(bare))}]"
    return "..." if bare is Ellipsis else str(bare)


def id_of(description: str) -> int:
    """The first 8 bytes of the description's blake2b, as a number that is never 0."""
    return int.from_bytes(blake2b(description.encode()).digest()[:8], "big") or 1


def _joined(members: typing.Iterable[object]) -> str:
    return ",".join(map(describe, members))


def _describe_class(cls: type) -> str:
    generic = getattr(cls, "__pydantic_generic_metadata__", None)
    if generic and generic["origin"]:
        return f"{describe(generic['origin'])}[{_joined(generic['args'])}]"
    return default_name(cls)


def _describe_literal(value: object) -> str:
    shown = value.name if isinstance(value, enum.Enum) else repr(value)
    return f"{describe(type(value))}:{shown}"
