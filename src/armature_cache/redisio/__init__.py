"""How commands reach a Redis or Valkey server: one port, a blocking and an async adapter."""
