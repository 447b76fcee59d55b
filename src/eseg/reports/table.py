"""Table of text cells that a terminal, a Markdown page or an HTML page can show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Table:
    """Rows of text under headings; the first column is aligned left, all others right.

    Cells are plain text: whoever shows them escapes what the medium gives a meaning.

    Attributes:
        headings: One per column.
        rows: Cells of each row, as many as there are headings.
        totals: Rows that stand under a rule at the end.
        title: A line above the table, or "".
        strong: Indices of the rows, totals counted on, that are emphasised.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    totals: Sequence[Sequence[str]] = ()
    title: str = ""
    strong: frozenset[int] = field(default=frozenset())

    def to_markdown(self) -> str:
        """Return a Markdown table; emphasised rows are bold."""
        rule = ["---", *("---:" for _ in self.headings[1:])]
        lines = [list(self.headings), rule]
        for index, row in enumerate((*self.rows, *self.totals)):
            bold = "**" if index in self.strong else ""
            lines.append([f"{bold}{cell}{bold}" if cell else "" for cell in row])
        return "\n".join(f"| {' | '.join(c.replace('|', '&#124;') for c in x)} |" for x in lines)
