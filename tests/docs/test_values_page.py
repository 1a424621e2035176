"""The table of types in docs/values.md is what the codecs do."""

from __future__ import annotations

from pathlib import Path

from round_trips import table

PAGE = (Path(__file__).parents[2] / "docs/values.md").read_text("utf-8")


def test_the_table_of_types_is_true():
    shown = PAGE[PAGE.index("| Type | MessagePack |") :].split("\n\n", 1)[0]
    assert shown == table().replace(" --- ", "---")
