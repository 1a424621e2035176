"""Codecs: typed values to bytes and back."""
