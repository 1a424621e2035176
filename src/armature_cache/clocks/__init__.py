"""The tag clock: one protocol, an implementation per place it can live."""
