"""The process's own table of types: names and ids that stored bytes may refer to.

Nothing stored imports or chooses code. A payload carries a name or an id, and those find a type
only if this process registered it, or has already used it with a codec.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, overload

from armature_cache import _forking
from armature_cache.codecs._describe import default_name, describe, id_of
from armature_cache.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_MAX_USED = 4096
_BUILT_IN = frozenset(
    (
        str,
        int,
        float,
        bool,
        complex,
        bytes,
        bytearray,
        type(None),
        object,
        type,
        list,
        dict,
        tuple,
        set,
        frozenset,
    )
)

_lock = _forking.leaf_lock()
_class_of: dict[str, type] = {}
_name_of: dict[type, str] = {}
_registered_id: dict[int, type] = {}
_used: dict[int, object] = {}


@overload
def register_type(cls: type[T], *, name: str | None = None) -> type[T]: ...
@overload
def register_type(*, name: str | None = None) -> Callable[[type[T]], type[T]]: ...
def register_type(
    cls: type[T] | None = None, *, name: str | None = None
) -> type[T] | Callable[[type[T]], type[T]]:
    """Give a class a name under which its instances are stored and restored without a type.

    Works as a function, as `@register_type` and as `@register_type(name="user")`. The default
    name is `module.qualname`; with a name of its own a class may be moved or renamed later. Every
    process that reads must register the class. Registering the same pair twice is fine; a name or
    a class that is already registered differently raises `ConfigError`.
    """
    if cls is None:
        return lambda decorated: register_type(decorated, name=name)
    if not isinstance(cls, type) or cls in _BUILT_IN:
        msg = f"register_type() takes a class of your own; {cls!r} needs no registration"
        raise ConfigError(msg, field="cls")
    if name is not None and (not isinstance(name, str) or not name):
        msg = "register_type() needs a name that is a non-empty string; leave it out for a default"
        raise ConfigError(msg, field="name")
    chosen = name or default_name(cls)
    with _lock:
        _check_free(cls, chosen)
        _class_of[chosen] = cls
        _name_of[cls] = chosen
        _registered_id[id_of(describe(cls))] = cls
    return cls


def _check_free(cls: type, name: str) -> None:
    holder = _class_of.get(name)
    if holder is not None and holder is not cls:
        msg = (
            f"the name {name!r} is already registered for another class, {default_name(holder)}; "
            f"give {default_name(cls)} another one with register_type(name=...)"
        )
        raise ConfigError(msg, field="name")
    earlier = _name_of.get(cls, name)
    if earlier != name:
        msg = f"{default_name(cls)} is already registered as {earlier!r}; a class has one name"
        raise ConfigError(msg, field="cls")


def registered_name(cls: type) -> str | None:
    """The name a class was registered under, or None."""
    return _name_of.get(cls)


def registered_class(name: str) -> type | None:
    """The class registered under a name, or None."""
    return _class_of.get(name)


def remember(as_type: object) -> int:
    """Enter a used type in the table, and return its id.

    The table keeps the last 4096 types; of two types with one description the later one stands.
    """
    type_id = id_of(describe(as_type))
    with _lock:
        _used.pop(type_id, None)
        _used[type_id] = as_type
        if len(_used) > _MAX_USED:
            del _used[next(iter(_used))]
    return type_id


def type_of_id(type_id: int) -> object | None:
    """The type that this process knows under an id, or None."""
    found = _used.get(type_id)
    return _registered_id.get(type_id) if found is None else found
