"""Why a value cannot be stored: what it is, where it stands inside the value, and the cures."""

from __future__ import annotations

import reprlib
import types

from armature_cache.codecs._describe import type_name
from armature_cache.errors import UnsupportedValue

CURES = (
    "Name its type in the function's return annotation or with type=, "
    "or register the class with register_type()"
)


_MAX_STEPS = 12
_CODE: tuple[type, ...] = (
    types.FunctionType,
    types.MethodType,
    types.GeneratorType,
    types.CoroutineType,
)
_CODE += (types.AsyncGeneratorType, types.BuiltinFunctionType, types.ModuleType, type)


class Refusal(Exception):
    """Something inside a value that cannot be stored; containers add the steps that lead there."""

    def __init__(self, kind: type, reason: str, cure: str = CURES) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.cure = cure
        self.steps: list[str] = []

    def inside(self, step: str) -> Refusal:
        """The same refusal, seen from one level further out."""
        self.steps.append(step)
        return self

    def error(self) -> UnsupportedValue:
        """The error that callers get."""
        shown = self.steps[::-1][:_MAX_STEPS]
        where = "value" + "".join(shown) + ("..." if len(self.steps) > _MAX_STEPS else "")
        article = "an" if type_name(self.kind)[0] in "aeiouAEIOU" else "a"
        msg = f"{where} is {article} {type_name(self.kind)}, {self.reason}. {self.cure}."
        return UnsupportedValue(msg, value_type=self.kind)


def item_step(key: object) -> str:
    """The step from a container to the item under a key or index."""
    return f"[{reprlib.repr(key)}]"


def key_step(key: object) -> str:
    """The step from a dict to one of its keys."""
    return f".keys()[{reprlib.repr(key)}]"


def refusal_of_class(value: object, reason: str, cure: str = CURES) -> Refusal:
    """The refusal of a value for its class; of code, such as a generator, with another cure."""
    if isinstance(value, _CODE):
        return Refusal(type(value), "which is code, not data", "Store the data it leads to")
    return Refusal(type(value), reason, cure)
