"""Key and tag templates: `"user:{user_id}"`, `"user:{user.id}"`, `"user:{}"`."""

from __future__ import annotations

import datetime
import decimal
import enum
import string
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from armature_cache.errors import CacheKeyError, ConfigError
from armature_cache.keys.binding import listing
from armature_cache.keys.values import Unkeyable, cache_key_of, integer_text, render

_BY_TEXT: Final = (str, uuid.UUID, decimal.Decimal)


class _Field(NamedTuple):
    name: str
    attributes: tuple[str, ...]
    after: str

    @property
    def source(self) -> str:
        return ".".join((self.name, *self.attributes))


class Template:
    """A text with fields that are replaced by arguments of a call, or by their attributes.

    `{name}` is an argument, `{name.attribute}` an attribute of it, `{}` the next argument in the
    order of the signature, without `self`, `cls` and ignored ones; a field may name those of
    `also`, too. `{{` and `}}` are braces. Format specifications, conversions, items and
    underscored attributes are refused.

    Strings, integers, UUIDs, decimals, dates and datetimes stand in a key as their plain text,
    enum members as their value, and objects with a `__cache_key__` as what it says. So `1`, `"1"`
    and `Decimal(1)`, or a date and its ISO text, share a key; leave the template out where that
    matters. Every other value is `~` and its text in a default key: `~None`, `~True`, `~1.5`.

    In a key, `%` and the character that follows the field in the template are percent-encoded
    inside the field, as are NUL, lone surrogates, and a leading `~` of plain text: `("a:b", "c")`
    and `("a", "b:c")` never share a key. A tag takes all text as it is, and no `~`.

    Raises `ConfigError`, naming `option`, for a template that cannot be used.
    """

    __slots__ = ("_fields", "_head", "_is_key", "_option", "source")

    def __init__(
        self, source: str, names: Sequence[str], *, also: Sequence[str] = (), option: str
    ) -> None:
        self.source = source
        self._option = option
        self._is_key = option == "key"
        if not isinstance(source, str) or not source:
            raise ConfigError(f"{option} is a non-empty str, not {source!r}", field=option)
        if "\0" in source or any("\ud800" <= c <= "\udfff" for c in source):
            raise self._bad("NUL and lone surrogates cannot stand in it")
        self._head, self._fields = self._parse(names)
        known = [*names, *also]
        for field in self._fields:
            self._check_field(field, known)

    def names(self, name: str) -> bool:
        """Whether a field takes its value from the argument of this name."""
        return any(field.name == name for field in self._fields)

    @property
    def has_attributes(self) -> bool:
        """Whether a field is an attribute, which may change while the argument stays the same."""
        return any(field.attributes for field in self._fields)

    @property
    def is_fixed(self) -> bool:
        """Whether the text is the same for all calls."""
        return not self._fields

    def fill(self, arguments: Mapping[str, object]) -> str:
        """The text for these arguments; `CacheKeyError` for one that has no stable text."""
        parts = [self._head]
        for field in self._fields:
            value = arguments[field.name]
            try:
                for attribute in field.attributes:
                    value = getattr(value, attribute)
                parts.append(key_text(value, field.after) if self._is_key else tag_text(value))
            except AttributeError as error:
                raise self._unfit(field, str(error)) from error
            except Unkeyable as error:
                reason = error.reason or f"{type(error.value).__qualname__} has no stable text"
                raise self._unfit(field, reason) from None
            parts.append(field.after)
        return "".join(parts)

    def _unfit(self, field: _Field, reason: str) -> CacheKeyError:
        return CacheKeyError(
            f"{{{field.source}}} of the {self._option} template {self.source!r} cannot be filled: "
            f"{reason}; name an attribute that is a str or a number, or give the class a "
            "__cache_key__",
            argument=field.name,
        )

    def _parse(self, names: Sequence[str]) -> tuple[str, list[_Field]]:
        try:
            pieces = list(string.Formatter().parse(self.source))
        except ValueError as error:
            raise self._bad(f"{error}; write {{{{ and }}}} for braces") from None
        texts, sources = [""], []
        position = 0
        for text, source, spec, conversion in pieces:
            texts[-1] += text
            if source is None:
                continue
            if spec or conversion:
                raise self._bad(f"{{{source}}} takes no conversion and no format specification")
            if not source:
                source, position = self._numbered(names, position), position + 1  # noqa: PLW2901
            sources.append(source)
            texts.append("")
        fields = [
            _Field(name, tuple(attributes), after)
            for (name, *attributes), after in zip(
                (source.split(".") for source in sources), texts[1:], strict=True
            )
        ]
        return texts[0], fields

    def _numbered(self, names: Sequence[str], position: int) -> str:
        if position >= len(names):
            raise self._bad(f"there are more {{}} than arguments ({listing(names)})")
        return names[position]

    def _check_field(self, field: _Field, known: Collection[str]) -> None:
        if field.name not in known:
            raise self._bad(f"{{{field.source}}} is no parameter; there are: {listing(known)}")
        for attribute in field.attributes:
            if not attribute.isidentifier() or attribute.startswith("_"):
                raise self._bad(f"{{{field.source}}} names no public attribute")
        if not self._is_key:
            return
        if field.after[:1] in {"%", "~"}:
            raise self._bad("neither % nor ~ may stand right after a field")
        if not field.after and field is not self._fields[-1]:
            raise self._bad(f'put a separator such as ":" after {{{field.source}}}')

    def _bad(self, reason: str) -> ConfigError:
        return ConfigError(
            f"the {self._option} template {self.source!r} cannot be used: {reason}",
            field=self._option,
        )


def key_text(value: object, after: str = "") -> str:
    """A value as it stands in a key template whose text goes on with `after`."""
    text = _plain(value)
    if text is None:
        return f"~{_escape(render(value), after[:1])}"
    text = _escape(text, after[:1])
    return f"%7E{text[1:]}" if text.startswith("~") else text


def tag_text(value: object) -> str:
    """A value as it stands in a tag template."""
    text = _plain(value)
    return render(value) if text is None else text


def _plain(value: object) -> str | None:
    """The text of a value that needs no mark of its type, or None."""
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, _BY_TEXT):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return integer_text(value)
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, type):
        return None
    key = cache_key_of(value)
    return None if key is None else _plain(key)


def _escape(text: str, separator: str) -> str:
    if "%" in text or "\0" in text or (separator and separator in text):
        text = text.translate({ord(c): _percent(c) for c in f"%\0{separator}"})
    if not text.isascii():
        text = "".join([_percent(c) if "\ud800" <= c <= "\udfff" else c for c in text])
    return text


def _percent(character: str) -> str:
    return "".join([f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass")])
