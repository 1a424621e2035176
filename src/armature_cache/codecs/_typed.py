"""What the codecs say when a value and a type do not go together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from armature_cache.codecs._describe import type_name
from armature_cache.codecs._records import Unrestorable
from armature_cache.codecs._refusal import Refusal, refusal_of_class
from armature_cache.errors import UndecodablePayload

if TYPE_CHECKING:
    from armature_cache.codecs._compare import Difference

_SAFE_STARTS = ("Expected `", "Object missing")


def refusal_of_difference(lost: Difference) -> Refusal:
    """The refusal of a value that would come back as something else."""
    cls = type(lost.before)
    name = type_name(cls)
    if type(lost.after) is cls:
        reason = "which would come back changed"
        cure = "Store a type that this codec restores exactly"
    elif cls.__module__ == "builtins":
        reason = f"which would come back as {type_name(type(lost.after))}"
        cure = f"Annotate it as {name} or pass type={name}"
    else:
        reason = f"which would come back as {type_name(type(lost.after))}"
        cure = f"Annotate it as {name} or pass type={name}, or register it with register_type()"
    refusal = Refusal(cls, reason, cure)
    refusal.steps.extend(lost.steps)
    return refusal


def refusal_of_mismatch(value: object, as_type: object, error: Exception | None) -> Refusal:
    """The refusal of a value that its type does not restore; says why if that holds no secret."""
    reason = f"which cannot be restored as {type_name(as_type)}{_because(error)}"
    return refusal_of_class(value, reason)


def _because(error: BaseException | None) -> str:
    if error is None:
        return ""
    safe = isinstance(error, Unrestorable) or (
        isinstance(error, msgspec.ValidationError) and str(error).startswith(_SAFE_STARTS)
    )
    return f" ({error})" if safe else _because(error.__cause__)


def refusal_of_depth(value: object) -> Refusal:
    """The refusal of a value that is nested too deeply to encode or decode."""
    reason = "nested too deeply, or inside itself"
    return Refusal(type(value), reason, "Store a flatter value without cycles")


def refusal_of_text(value: object) -> Refusal:
    """The refusal of a str that is not valid Unicode, or of a value that holds one."""
    reason = "with a lone surrogate, which UTF-8 cannot encode"
    return Refusal(type(value), reason, "Store bytes, or a str made with errors='replace'")


def undecodable(as_type: object, error: Exception) -> UndecodablePayload:
    """The error for a payload that failed to decode; the cause is not part of its text."""
    if isinstance(error, UndecodablePayload):
        return error
    aim = "" if as_type is None else f" to {type_name(as_type)}"
    return UndecodablePayload(f"the payload does not decode{aim} ({type(error).__name__})")
