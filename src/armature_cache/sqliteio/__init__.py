"""The file of an SQLite cache: how it is opened, read, written, and told from any other."""
