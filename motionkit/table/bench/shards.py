"""`shard=2/8`: the same split of a table's cells on every machine, whatever each has finished or can run."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from motionkit.errors import UserError
from motionkit.table.bench.planned import Cell
from motionkit.weights.hashing import hash_json

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

        The part of a cell follows from the cell and from its row's configuration alone: the cases of a row are dealt
        one after another, from a part on that the key of the row's first cell with that seed decides. So each part has
        as many of every row and seed as can be, equal cells of two rows are in one part, and a row that a machine
        cannot run changes nothing for the others, whatever cells it would have shared with them.

        Args:
            rows: the cells of each entry, cases of a seed one after another; () for a refused one.
        """
        own = set()
        for cells in rows:
            for _, group in itertools.groupby(cells, key=lambda cell: cell.seed):
                dealt = list(group)
                first = int(hash_json(dealt[0].key)[:12], 16)
                own |= {cell.key for cell in dealt if (first + cell.index) % self.of + 1 == self.number}
        return own

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"
