"""A call's key: from the function's name and arguments, or from a template."""

from armature_cache.keys.binding import Receiver
from armature_cache.keys.call import CacheKeyWarning, CallKeys
from armature_cache.keys.length import MAX_KEY_CHARS
from armature_cache.keys.memo import PLAIN
from armature_cache.keys.templates import Template
from armature_cache.keys.values import render

__all__ = [
    "MAX_KEY_CHARS",
    "PLAIN",
    "CacheKeyWarning",
    "CallKeys",
    "Receiver",
    "Template",
    "render",
]
