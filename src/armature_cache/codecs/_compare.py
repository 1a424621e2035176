"""Whether a decoded value is what was encoded, and whether a value already fits a type."""

from __future__ import annotations

import datetime as dt
import enum
import types
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import msgspec

from armature_cache.codecs._describe import unwrap
from armature_cache.codecs._records import field_names, is_pydantic, model_state
from armature_cache.codecs._refusal import item_step, key_step

_ABSENT = object()
_ATOMS = frozenset((str, int, float, bool, bytes, type(None)))


Compare = Callable[[Any, Any], "Difference | None"]


class Difference(NamedTuple):
    """What was lost: the part of the value that comes back as something else."""

    steps: tuple[str, ...]
    before: object
    after: object


def difference(before: Any, after: Any) -> Difference | None:
    """The first place where `after` is not `before`, or None; classes count, not only equality.

    An int that a float annotation turned into an equal float is no difference.
    """
    cls: Any = type(before)
    if type(before) is type(after):
        compare = _plain_difference if cls in _ATOMS else _comparison(cls)
        return compare(before, after)
    widened = cls is int and type(after) is float and before == after
    return None if widened else Difference((), before, after)


@lru_cache(maxsize=4096)
def _comparison(cls: Any) -> Compare:  # noqa: PLR0911  one line per kind
    """How two values of a class are compared."""
    if issubclass(cls, enum.Enum):
        return _identity_difference
    if issubclass(cls, dt.datetime | dt.time):
        return _clock_difference
    if issubclass(cls, set | frozenset):
        return _set_difference
    if is_pydantic(cls):
        return _model_difference
    names = field_names(cls)
    if names is not None:
        return partial(_field_difference, names)
    if issubclass(cls, dict):
        return _dict_difference
    return _list_difference if issubclass(cls, list | tuple) else _plain_difference


def _plain_difference(before: Any, after: Any) -> Difference | None:
    both_nan = before != before and after != after  # noqa: PLR0124  true of NaN only
    return None if before == after or both_nan else Difference((), before, after)


def _identity_difference(before: Any, after: Any) -> Difference | None:
    return None if before is after else Difference((), before, after)


def _clock_difference(before: Any, after: Any) -> Difference | None:
    if before.tzinfo is after.tzinfo and before == after and before.fold == after.fold:
        return None
    return None if _clock_face(before) == _clock_face(after) else Difference((), before, after)


def _field_difference(names: tuple[str, ...], before: Any, after: Any) -> Difference | None:
    for name in names:
        old = getattr(before, name, _ABSENT)
        new = getattr(after, name, _ABSENT)
        if type(old) in _ATOMS and type(old) is type(new) and old == new:
            continue
        found = difference(old, new)
        if found is not None:
            return _outward(found, f".{name}")
    return None


def _model_difference(before: Any, after: Any) -> Difference | None:
    found = _dict_difference(model_state(before), model_state(after))
    if found is not None:
        return found
    old = getattr(before, "__pydantic_private__", None)
    found = difference(old, getattr(after, "__pydantic_private__", None))
    return None if found is None else Difference((), before, after)


def _list_difference(before: Any, after: Any) -> Difference | None:
    if len(before) != len(after):
        return Difference((), before, after)
    for index, (old, new) in enumerate(zip(before, after, strict=True)):
        if type(old) in _ATOMS and type(old) is type(new) and old == new:
            continue
        found = difference(old, new)
        if found is not None:
            return _outward(found, item_step(index))
    return None


def _dict_difference(before: Any, after: Any) -> Difference | None:
    if len(before) != len(after):
        return Difference((), before, after)
    for (key, old), (new_key, new) in zip(before.items(), after.items(), strict=True):
        if key is not new_key and (found := difference(key, new_key)):
            return _outward(found, key_step(key))
        if type(old) in _ATOMS and type(old) is type(new) and old == new:
            continue
        found = difference(old, new)
        if found is not None:
            return _outward(found, item_step(key))
    return None


def _set_difference(before: Any, after: Any) -> Difference | None:
    def typed(members: Any) -> set[tuple[type, object]]:
        return {(type(one), one) for one in members if one == one}  # noqa: PLR0124  not NaN

    same = len(before) == len(after) and typed(before) == typed(after)
    return None if same else Difference((), before, after)


def _clock_face(moment: Any) -> tuple[object, object, int]:
    offset = moment.utcoffset()
    fold = moment.fold if moment.tzinfo is None else 0
    return moment.replace(tzinfo=None, fold=0), offset, fold


def _outward(found: Difference, step: str) -> Difference:
    return found._replace(steps=(*found.steps, step))


def fits(value: Any, as_type: object) -> bool:
    """Whether a value is an instance of a type as it stands; False where that is uncertain."""
    if typing.get_origin(as_type) is typing.Annotated and _has_constraints(as_type):
        return False
    bare = unwrap(as_type)
    if bare is typing.Any:
        return True
    origin = typing.get_origin(bare)
    arguments = typing.get_args(bare)
    if origin is None:
        return isinstance(bare, type) and _is_instance(value, bare)
    if origin is typing.Union or origin is types.UnionType:
        return any(fits(value, member) for member in arguments)
    if origin is typing.Literal:
        return any(type(value) is type(one) and value == one for one in arguments)
    return isinstance(origin, type) and _is_instance(value, origin) and _items_fit(value, arguments)


def _has_constraints(as_type: Any) -> bool:
    return any(isinstance(one, msgspec.Meta) for one in as_type.__metadata__)


def _is_instance(value: object, cls: type) -> bool:
    try:
        return isinstance(value, cls)
    except TypeError:
        return False


def _items_fit(value: Any, arguments: tuple[Any, ...]) -> bool:
    if isinstance(value, Mapping):
        keys, values = (*arguments, typing.Any, typing.Any)[:2]
        return all(fits(k, keys) and fits(v, values) for k, v in value.items())
    if isinstance(value, tuple) and Ellipsis not in arguments and len(arguments) != 1:
        return len(value) == len(arguments) and all(map(fits, value, arguments))
    if isinstance(value, tuple | list | set | frozenset):
        return all(fits(one, arguments[0]) for one in value)
    cls: Any = type(value)
    return field_names(cls) is not None
