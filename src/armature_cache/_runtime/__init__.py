"""The few things that threads and event loops do differently."""
