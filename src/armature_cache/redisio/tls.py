"""The options of a URL as redis-py's connections take them."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from armature_cache.address import Address

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def options_of(address: Address) -> dict[str, Any]:
    """Keyword arguments for connections to servers with data."""
    options: dict[str, Any] = dict(address.options)
    if "ssl_check_hostname" in options:
        options["ssl_check_hostname"] = options["ssl_check_hostname"] == "true"
    elif options.get("ssl_cert_reqs") == "none":
        options["ssl_check_hostname"] = False
    if "ssl_min_version" in options:
        options["ssl_min_version"] = _VERSIONS[options["ssl_min_version"]]
    return options


def sentinel_options_of(address: Address) -> dict[str, Any]:
    """Keyword arguments for connections to sentinels: TLS as for the data, but own credentials."""
    options: dict[str, Any] = dict(address.sentinel_options)
    tls = options.pop("tls", "true") == "true" and address.tls
    carried = {name: value for name, value in options_of(address).items() if name[:4] == "ssl_"}
    return {**options, **({"ssl": True, **carried} if tls else {})}
