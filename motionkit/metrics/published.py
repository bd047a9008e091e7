"""The figures that the methods' papers print, kept as data and shown in tables of their own, never mixed with ours.

They were made with other weights, on other clips and often by other variants of a metric: each column says which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

import yaml

from motionkit.errors import UserError, unknown

HEADING = "As published, not measured here"
_ARROWS = {"higher": "↑", "lower": "↓"}


@dataclass(frozen=True)
class Column:
    """One printed metric: which way is better, and which variant it is or is read as.

    Attributes:
        variant: the name of our metric of that kind where there is one, and what is not known about it.
    """

    title: str
    better: str
    variant: str
    unit: str = ""


@dataclass(frozen=True)
class Figure:
    """A printed number, with the deviation that the paper prints beside it, if any."""

    value: float
    plus_minus: float | None = None


@dataclass(frozen=True)
class Table:
    """One table of a paper.

    Attributes:
        label: its number in the paper; what, split: what is compared, on which data.
        rows: name as printed -> a figure for each column, None where the paper prints none.
    """

    label: str
    what: str
    split: str
    columns: tuple[Column, ...]
    rows: Mapping[str, tuple[Figure | None, ...]]


@dataclass(frozen=True)
class Paper:
    """A paper's figures; `absent` names tables whose numbers are not kept, with the reason."""

    title: str
    url: str
    method: str
    tables: tuple[Table, ...]
    absent: Mapping[str, str]


def names() -> list[str]:
    """The methods whose papers' figures are kept."""
    folder = files("motionkit") / "assets" / "published"
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


@cache
def paper(method: str) -> Paper:
    """The figures of that method's paper.

    Raises:
        UserError: none are kept for that name.
    """
    if method not in names():
        raise unknown("method with published figures", method, names())
    text = (files("motionkit") / "assets" / "published" / f"{method}.yaml").read_text(encoding="utf-8")
    return parse(yaml.safe_load(text), f"{method}.yaml")


def parse(data: Mapping[str, Any], where: str) -> Paper:
    """A paper from what its YAML holds.

    Raises:
        UserError: a key is missing, or a row has not one figure for each column.
    """
    try:
        tables = tuple(_table(table, where) for table in data["tables"])
        absent = {gap["label"]: gap["why"] for gap in data["absent"]}
        return Paper(data["paper"], data["url"], data["method"], tables, absent)
    except KeyError as error:
        raise UserError(f"{where}: lacks {error.args[0]}") from error


def _table(data: Mapping[str, Any], where: str) -> Table:
    columns = tuple(Column(**column) for column in data["columns"])
    rows = {}
    for name, given in data["rows"].items():
        if len(given) != len(columns):
            raise UserError(f"{where}: {data['label']}, {name}: {len(given)} figures for {len(columns)} columns")
        rows[name] = tuple(_figure(value) for value in given)
    return Table(data["label"], data["what"], data["split"], columns, rows)


def _figure(value: Any) -> Figure | None:
    if value is None:
        return None
    return Figure(*map(float, value)) if isinstance(value, list) else Figure(float(value))


def as_json(methods: Sequence[str]) -> list[dict[str, Any]]:
    """Plain data of the papers of those methods that have figures here; the others are left out."""
    return [asdict(paper(name)) for name in methods if name in names()]


def markdown(methods: Sequence[str]) -> str:
    """A section with one table for each published table of those methods; "" when none of them has any."""
    found = [paper(name) for name in methods if name in names()]
    lines = [f"## {HEADING}", "", _warning()] if found else []
    for source in found:
        lines += ["", f"### {source.title} ({source.url})"]
        for table in source.tables:
            lines += ["", f"{table.label}: {table.what}. Data: {table.split}.", ""]
            lines += ["| | " + " | ".join(_title(column) for column in table.columns) + " |"]
            lines += ["|---" * (len(table.columns) + 1) + "|"]
            lines += ["| " + " | ".join(row) + " |" for row in _rows(table)]
            lines += ["", "Variants: " + "; ".join(f"{c.title}: {c.variant}" for c in table.columns) + "."]
        lines += [f"\nNot kept: {label}: {why}." for label, why in source.absent.items()]
    return "\n".join(lines) + "\n" if lines else ""


def html(methods: Sequence[str]) -> str:
    """The same as a section of a page, every text escaped; "" when none of the methods has published figures."""
    found = [paper(name) for name in methods if name in names()]
    parts = []
    for source in found:
        parts.append(f'<h3><a href="{escape(source.url)}">{escape(source.title)}</a></h3>')
        for table in source.tables:
            head = "".join(f'<th title="{escape(c.variant)}">{escape(_title(c))}</th>' for c in table.columns)
            cells = ["".join(f"<td>{escape(text)}</td>" for text in row) for row in _rows(table)]
            body = "".join(f"<tr>{row}</tr>" for row in cells)
            parts.append(
                f'<p class="soft">{escape(table.label)}: {escape(table.what)}. Data: {escape(table.split)}.</p>'
                f'<div class="scroll"><table><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table></div>'
            )
        parts += [f'<p class="soft">Not kept: {escape(k)}: {escape(v)}.</p>' for k, v in source.absent.items()]
    if not parts:
        return ""
    return f'<section class="published"><h2>{HEADING}</h2><p>{escape(_warning())}</p>{"".join(parts)}</section>'


def _warning() -> str:
    return "Other weights, other clips, and often other variants of a metric: these are not comparable with ours."


def _title(column: Column) -> str:
    unit = f" ({column.unit})" if column.unit else ""
    return f"{column.title}{unit} {_ARROWS[column.better]}"


def _rows(table: Table) -> list[list[str]]:
    """Name and figures of each row, a column's figures with one number of decimals, as they are printed."""
    places = [_places([f.value for f in column if f]) for column in zip(*table.rows.values(), strict=True)]
    return [[name, *map(_text, row, places)] for name, row in table.rows.items()]


def _places(values: Sequence[float]) -> int:
    return max((len(f"{value:g}".partition(".")[2]) for value in values if not _is_tiny(value)), default=0)


def _text(figure: Figure | None, places: int) -> str:
    if figure is None:
        return "–"
    value = f"{figure.value:.2e}" if _is_tiny(figure.value) else f"{figure.value:.{places}f}"
    return value if figure.plus_minus is None else f"{value} ± {figure.plus_minus:g}"


def _is_tiny(value: float) -> bool:
    return 0 < abs(value) < 1e-3
