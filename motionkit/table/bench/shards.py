"""`shard=2/8`: the same split of a table's cells on every machine, whatever each has finished or can run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from motionkit.errors import UserError
from motionkit.table.bench.planned import Cell

MOST = 10_000


@dataclass(frozen=True)
class Shard:
    """Part `number` (from 1 on) of `of` parts of a table.

    >>> Shard.read("2/8")
    Shard(number=2, of=8)
    """

    number: int = 1
    of: int = 1

    @classmethod
    def read(cls, text: str) -> Shard:
        """The part that a text such as "2/8" means.

        Raises:
            UserError: the text is not of that form.
        """
        found = re.fullmatch(r"(\d{1,5})/(\d{1,5})", str(text).strip())
        number, of = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= number <= of <= MOST:
            raise UserError(f"shard={text}: give PART/PARTS, such as 2/8, with parts from 1 on")
        return cls(number, of)

    @property
    def whole(self) -> bool:
        """Whether it is the whole table."""
        return self.of == 1

    def keys(self, rows: Sequence[Sequence[Cell]]) -> set[str]:
        """The keys of its cells.

        Cells are dealt along diagonals, so that each part has as many of every row and of every case as can be, and a
        row that a machine cannot run changes nothing for the others. Equal cells of two rows are in one part.

        Args:
            rows: the cells of each entry, in the table's order; () for a refused one.
        """
        part: dict[str, int] = {}
        for number, cells in enumerate(rows):
            for turn, cell in enumerate(cells):
                part.setdefault(cell.key, (turn + number) % self.of + 1)
        return {key for key, number in part.items() if number == self.number}

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"
