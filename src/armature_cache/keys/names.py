"""Names of modules and classes that mean the same in every process."""

from __future__ import annotations

import os
import pathlib
import sys
import urllib.parse
from typing import Final
from weakref import WeakKeyDictionary, WeakValueDictionary

_PLAIN: Final = "[]<>"
_MAIN: Final = {"__main__", "__mp_main__"}

_names: WeakKeyDictionary[type, str] = WeakKeyDictionary()
_owners: WeakValueDictionary[str, type] = WeakValueDictionary()


def clean(name: str) -> str:
    """The name with every character percent-encoded that could end it in a key."""
    if name.isascii() and name.replace(".", "_").isidentifier():
        return name
    return urllib.parse.quote(name, safe=_PLAIN, errors="surrogatepass")


def module_name(name: str) -> str:
    """The name of a module; of a script, its path, because every script is `__main__`.

    A module that was started with `python -m` has its own name. What was typed at a prompt has
    no module: it is `__main__`.
    """
    if name not in _MAIN:
        return clean(name)
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    if spec is not None:
        return clean(spec.name)
    path = getattr(module, "__file__", None)
    return "__main__" if path is None else urllib.parse.quote(str(pathlib.Path(path).resolve()))


def type_name(kind: type) -> str:
    """A class by module and qualified name.

    Where two classes of one name are alive, as a function that makes classes leaves them, the
    later one has a name of its own that no other process knows.
    """
    name = _names.get(kind)
    if name is None:
        name = f"{module_name(kind.__module__)}:{clean(kind.__qualname__)}"
        if _owners.setdefault(name, kind) is not kind:
            name = f"{name}#{private_mark()}"
        name = _names.setdefault(kind, name)
    return name


def private_mark() -> str:
    """A mark that no other process, and nothing else in this one, has."""
    return os.urandom(8).hex()
