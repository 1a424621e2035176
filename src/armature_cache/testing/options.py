"""Directives of a server's configuration file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

Option = str | int | bool | Sequence[str]
"""A value as in the server's configuration file; a sequence repeats the directive."""


def directives(options: Mapping[str, Option]) -> Iterator[str]:
    """The lines of the file."""
    for name, value in options.items():
        if isinstance(value, bool):
            yield f"{name} {'yes' if value else 'no'}"
        elif isinstance(value, str | int):
            text = _quoted(value) if name in {"requirepass", "masterauth"} or value == "" else value
            yield f"{name} {text}"
        else:
            yield from (f"{name} {each}" for each in value)


def _quoted(text: object) -> str:
    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
