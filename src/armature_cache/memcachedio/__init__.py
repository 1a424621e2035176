"""Memcached's meta protocol: a codec without I/O, consistent hashing, and two adapters."""
