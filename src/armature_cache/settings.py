"""Settings as a file or the environment gives them: text and plain values, read into ours.

Durations are numbers of seconds, or text such as `"90s"`, `"1h30m"`, `"100ms"`; sizes are numbers
of bytes, or text such as `"64MiB"`; flags are booleans, or `"true"`, `"off"`, `"1"`. `"none"` is
None where a setting may be None. Errors name the setting, what was given, unless it is secret, and
what is wanted.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from armature_cache._words import suggestion
from armature_cache.address import mask_url
from armature_cache.errors import ConfigError

Reader = Callable[[object], object]
"""Reads one value; `ValueError` if it cannot."""

_UNITS: Final = {
    "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0,
}  # fmt: skip
_PART: Final = r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d|w)\s*"
_SIZE: Final = re.compile(r"(\d+)\s*(b|kb|mb|gb|kib|mib|gib)?", re.IGNORECASE)
_BYTES: Final = {
    "": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3,
    "kib": 1024, "mib": 1024**2, "gib": 1024**3,
}  # fmt: skip
_FLAGS: Final = {
    "true": True, "yes": True, "on": True, "1": True,
    "false": False, "no": False, "off": False, "0": False,
}  # fmt: skip


def _duration(value: object) -> float:
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if not isinstance(value, str):
        return _number(value)
    text = value.strip().lower()
    if re.fullmatch(f"(?:{_PART})+", text):
        return sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, text))
    return _number(text)


def _number(value: object) -> float:
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        return float(value)
    raise ValueError(value)


def _count(value: object) -> int:
    if isinstance(value, int | str) and not isinstance(value, bool):
        return int(value)
    raise ValueError(value)


def _size(value: object) -> int:
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return _count(value)
    return int(found[1]) * _BYTES[(found[2] or "").lower()]


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    return _FLAGS[value.strip().lower() if isinstance(value, str) else str(value)]


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(value)


def _texts(value: object) -> tuple[str, ...]:
    """Several strings; in one string, commas stand between them."""
    if isinstance(value, str):
        return tuple(part for part in (each.strip() for each in value.split(",")) if part)
    if isinstance(value, Iterable):
        return tuple(map(_text, value))
    raise ValueError(value)


def _codec(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value == "msgpack":
        from armature_cache.codecs.msgpack import MessagePackCodec

        return MessagePackCodec()
    if value == "json":
        from armature_cache.codecs.json import JsonCodec

        return JsonCodec()
    raise ValueError(value)


class Kind(NamedTuple):
    """What a setting is: how it is read, and how it is described when it cannot be."""

    read: Reader
    wanted: str
    optional: bool = False
    """Whether None, `"none"` and `"never"` are a value of it."""
    secret: bool = False


DURATION: Final = Kind(_duration, "a duration such as 300, '90s' or '1h30m'")
LIFETIME: Final = Kind(
    _duration, "a duration such as 300, '90s' or '1h30m', or 'none'", optional=True
)
NUMBER: Final = Kind(_number, "a number")
COUNT: Final = Kind(_count, "an integer")
SIZE: Final = Kind(_size, "a size such as 1048576, '64MiB' or '10MB'")
SIZE_OR_NONE: Final = Kind(
    _size, "a size such as 1048576, '64MiB' or '10MB', or 'none'", optional=True
)
FLAG: Final = Kind(_flag, "true or false")
TEXT: Final = Kind(_text, "a text")
SECRET: Final = Kind(_text, "a text", secret=True)
TEXTS: Final = Kind(_texts, "a text, or several")

OF_CACHES: Final[Mapping[str, Kind]] = {
    "url": TEXT,
    "username": TEXT,
    "password": SECRET,
    "namespace": TEXT,
    "default_ttl": LIFETIME,
    "max_entries": COUNT,
    "max_bytes": SIZE_OR_NONE,
    "isolate": FLAG,
    "detect_mutation": FLAG,
    "codec": Kind(_codec, "'msgpack', 'json', or a codec"),
    "connect_timeout": DURATION,
    "operation_timeout": DURATION,
    "max_connections": COUNT,
    "staleness_bound": DURATION,
    "max_ttl": DURATION,
    "max_value_bytes": SIZE,
    "max_load_time": DURATION,
    "max_file_bytes": SIZE,
    "hints": FLAG,
    "on_failover": TEXT,
    "reclaim": FLAG,
    "consistency": TEXT,
    "enable_l1": FLAG,
    "enable_l2": FLAG,
    "write_through": FLAG,
    "promote_to_l1": FLAG,
    "l1_ttl_fraction": NUMBER,
    "on_l2_down": TEXT,
    "serve_stale_for": DURATION,
    "l2_soft_timeout": LIFETIME,
    "l2_hard_timeout": LIFETIME,
    "breaker_failures": COUNT,
    "breaker_pause": DURATION,
    "background_writes": FLAG,
}
"""Every setting of a cache. What is not given has its default."""

OF_PROFILES: Final[Mapping[str, Kind]] = {
    "cache": TEXT,
    "ttl": LIFETIME,
    "tags": TEXTS,
    "ignore": TEXTS,
    "cache_none": FLAG,
    "stale_for": DURATION,
    "stale_while_revalidate": DURATION,
    "refresh_after": Kind(_number, "a number, or 'none'", optional=True),
    "early_refresh": NUMBER,
    "jitter": NUMBER,
    "negative_ttl": LIFETIME,
    "sliding": FLAG,
    "soft_timeout": LIFETIME,
    "hard_timeout": LIFETIME,
    "retry_after": DURATION,
    "lock_timeout": DURATION,
}
"""What a profile may say for the functions that name it."""

Place = Callable[[str], str]
"""What a setting is called where it was given, for messages."""


def read(source: Mapping[str, object], kinds: Mapping[str, Kind], place: Place) -> dict[str, Any]:
    """The settings that a mapping gives, by their own names.

    `MAX_BYTES` and `max-bytes` are `max_bytes`. Raises `ConfigError`.
    """
    if not isinstance(source, Mapping):
        raise ConfigError(f"{place('')} is a mapping of settings, not {_shown(source)}")
    found: dict[str, Any] = {}
    for given, value in source.items():
        name = given.lower().replace("-", "_") if isinstance(given, str) else ""
        if name not in kinds:
            raise ConfigError(
                f"{place(str(given))} is no setting{suggestion(name, kinds)}; there are "
                + ", ".join(sorted(kinds)),
                field=str(given),
            )
        if name in found:
            raise ConfigError(f"{place(name)} is given twice", field=name)
        found[name] = _read_one(name, value, kinds[name], place)
    return found


def _read_one(name: str, value: object, kind: Kind, place: Place) -> object:
    none = value is None or (isinstance(value, str) and value.strip().lower() in {"none", "never"})
    if kind.optional and none:
        return None
    try:
        return kind.read(value)
    except (ValueError, KeyError, TypeError, OverflowError):
        given = "" if kind.secret else f", not {_shown(value)}"
        raise ConfigError(f"{place(name)} is {kind.wanted}{given}", field=name) from None


def placed(error: ValueError, place: Place, field: str) -> ConfigError:
    """An error of a setting as one that names where it was given; `field` if it names none."""
    name = getattr(error, "field", None) or field
    told = str(error)
    rest = told.removeprefix(f"{name} ")
    said = f"{place(name)} {rest}" if rest != told else f"{place(name)}: {told}"
    return ConfigError(said, field=name)


def _shown(value: object) -> str:
    """A value as messages show it: short, and without what looks like a secret."""
    if isinstance(value, str) and ("://" in value or "@" in value):
        return repr(mask_url(value))
    if isinstance(value, str | int | float | bool) or value is None:
        return f"{value!r:.80}"
    return type(value).__name__


def from_environment(environ: Mapping[str, str], prefix: str) -> dict[str, dict[str, str]]:
    """The settings that variables give, by the name of the cache; `default` for the plain ones.

    `PREFIX_URL` is a setting of the default cache, `PREFIX_SESSIONS__URL` of the one that is named
    `sessions`. An empty variable counts as not set.
    """
    found: dict[str, dict[str, str]] = {}
    for variable, value in environ.items():
        if variable.startswith(prefix) and value.strip():
            name, _, setting = variable.removeprefix(prefix).lower().rpartition("__")
            found.setdefault(name or "default", {})[setting] = value
    return found


def variable_of(prefix: str, cache: str = "default") -> Place:
    """The variables that give the settings of a cache."""
    middle = "" if cache == "default" else f"{cache.upper()}__"
    return lambda setting: f"{prefix}{middle}{setting.upper()}"
