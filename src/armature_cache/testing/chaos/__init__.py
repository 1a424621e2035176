"""Chaos: stores that delay, fail, hang, lose and corrupt, by probability or by script."""

from armature_cache.testing.chaos.chaos import Chaos
from armature_cache.testing.chaos.outcomes import (
    Corrupt,
    Delay,
    Fail,
    Hang,
    Lose,
    Ok,
    Operation,
    Outcome,
    Rates,
)
from armature_cache.testing.chaos.store import ChaosCache, in_chaos
from armature_cache.testing.chaos.tampering import Garbage

__all__ = [
    "Chaos",
    "ChaosCache",
    "Corrupt",
    "Delay",
    "Fail",
    "Garbage",
    "Hang",
    "Lose",
    "Ok",
    "Operation",
    "Outcome",
    "Rates",
    "in_chaos",
]
