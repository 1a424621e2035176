"""Stores and the wrappers around them; every wrapper is a store."""
