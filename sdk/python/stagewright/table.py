"""Columns and tables.

A column that came from the host is viewed where it lies: numbers through a `memoryview`, text when a row is asked
for. A column that was not changed goes back as it came, so passing one through costs nothing.
"""

from array import array
from difflib import get_close_matches
from itertools import accumulate

from .failures import InvalidData

BOOLEAN, INT64, FLOAT64, TIMESTAMP, TEXT, CATEGORY = (
    "boolean", "int64", "float64", "timestamp", "text", "category",
)
_FORMATS = {INT64: "q", FLOAT64: "d", TIMESTAMP: "q"}


class Field:
    """A column's name and type."""

    __slots__ = ("name", "type", "nullable")

    def __init__(self, name, type, nullable=False):
        self.name, self.type, self.nullable = name, type, nullable

    def __repr__(self):
        return f"Field({self.name!r}, {self.type!r}, nullable={self.nullable})"

    def __eq__(self, other):
        return isinstance(other, Field) and (self.name, self.type, self.nullable) == (
            other.name, other.type, other.nullable)

    @property
    def is_numeric(self):
        """Whether its values are numbers (or yes and no, which count as 1 and 0)."""
        return self.type not in (TEXT, CATEGORY)


def _bits(flags):
    """Packs truth values, the first in the lowest bit."""
    number = 0
    packed = bytearray((len(flags) + 7) // 8)
    for place, flag in enumerate(flags):
        if flag:
            packed[place >> 3] |= 1 << (place & 7)
    return bytes(packed)


class Series:
    """A named column. Row `i` is `series[i]`: a value, or None where the row has none."""

    __slots__ = ("name", "type", "rows", "_values", "_validity", "_offsets", "words", "_view")

    def __init__(self, name, type, rows, values, validity=None, offsets=None, words=None):
        """From the contract's buffers. `Series.of` makes one from Python values."""
        self.name, self.type, self.rows = name, type, rows
        self._values, self._validity, self._offsets, self.words = values, validity, offsets, words
        self._view = None

    @classmethod
    def of(cls, name, type, values):
        """From Python values, with None where a row has no value."""
        values = list(values)
        rows = len(values)
        validity = None
        if any(value is None for value in values):
            validity = _bits([value is not None for value in values])
        if type == BOOLEAN:
            return cls(name, type, rows, _bits([bool(value) for value in values]), validity)
        if type in _FORMATS:
            whole = array(_FORMATS[type], [0 if value is None else value for value in values])
            return cls(name, type, rows, whole.tobytes(), validity)
        if type == TEXT:
            texts = [b"" if value is None else value.encode() for value in values]
            offsets = array("I", accumulate(map(len, texts), initial=0))
            return cls(name, type, rows, b"".join(texts), validity, offsets.tobytes())
        known = {}
        codes = array("I", [0 if value is None else known.setdefault(value, len(known)) for value in values])
        return cls(name, type, rows, codes.tobytes(), validity, words=list(known) or [""])

    @classmethod
    def floats(cls, name, values):
        """Numbers from an `array('d')` or any sequence of floats; every row has a value."""
        values = values if isinstance(values, array) else array("d", values)
        return cls(name, FLOAT64, len(values), values.tobytes())

    @property
    def field(self):
        """Its name and type."""
        return Field(self.name, self.type, self._validity is not None)

    @property
    def values(self):
        """Whole numbers, numbers or times as a `memoryview`, codes of a category likewise. No copy."""
        if self._view is None:
            self._view = memoryview(self._values).cast(_FORMATS.get(self.type, "I"))
        return self._view

    def has(self, row):
        """Whether a row has a value."""
        return self._validity is None or self._validity[row >> 3] >> (row & 7) & 1 == 1

    @property
    def missing(self):
        """The number of rows without a value."""
        if self._validity is None:
            return 0
        spare = -self.rows % 8
        whole = int.from_bytes(self._validity, "little") & ((1 << (len(self._validity) * 8 - spare)) - 1)
        return self.rows - whole.bit_count()

    def __len__(self):
        return self.rows

    def __getitem__(self, row):
        if not 0 <= row < self.rows:
            raise IndexError(row)
        if not self.has(row):
            return None
        if self.type == TEXT:
            if self._view is None:
                self._view = memoryview(self._offsets).cast("I")
            return self._values[self._view[row]:self._view[row + 1]].decode()
        if self.type == BOOLEAN:
            return self._values[row >> 3] >> (row & 7) & 1 == 1
        value = self.values[row]
        return self.words[value] if self.type == CATEGORY else value

    def __iter__(self):
        if self._validity is None and self.type in _FORMATS:
            return iter(self.values)
        return (self[row] for row in range(self.rows))

    def numbers(self):
        """The values that are there, as numbers."""
        if self.type in (TEXT, CATEGORY):
            raise InvalidData(f"the column `{self.name}` holds {self.type}, not numbers")
        if self._validity is None and self.type in _FORMATS:
            return self.values
        return [value for value in self if value is not None]

    def replaced(self, values):
        """A column of float64 in this one's place: same name, same rows missing. `values` is an `array('d')`."""
        return Series(self.name, FLOAT64, self.rows, values.tobytes(), self._validity)

    def renamed(self, name):
        """The same values under another name."""
        return Series(name, self.type, self.rows, self._values, self._validity, self._offsets, self.words)


class Table:
    """Columns of one length."""

    __slots__ = ("rows", "columns")

    def __init__(self, columns, rows=None):
        self.columns = list(columns)
        self.rows = rows if rows is not None else (len(self.columns[0]) if self.columns else 0)

    @property
    def fields(self):
        """The columns' names and types."""
        return [column.field for column in self.columns]

    def __len__(self):
        return self.rows

    def __contains__(self, name):
        return any(column.name == name for column in self.columns)

    def __getitem__(self, name):
        for column in self.columns:
            if column.name == name:
                return column
        raise InvalidData(no_such_column(name, [column.name for column in self.columns]))

    def with_column(self, series):
        """This table with a column replaced, or added at the end."""
        names = [column.name for column in self.columns]
        if series.name not in names:
            return Table([*self.columns, series], self.rows)
        return Table([series if column.name == series.name else column for column in self.columns], self.rows)

    def slice(self, start, end):
        """The rows from `start` up to `end`."""
        return Table(
            [Series.of(column.name, column.type, [column[row] for row in range(start, end)])
             for column in self.columns], end - start)


def no_such_column(name, names):
    """Says that a column is missing, and which was probably meant."""
    near = get_close_matches(name, names, 1)
    if near:
        return f"the table has no column `{name}`; did you mean `{near[0]}`?"
    return f"the table has no column `{name}`; its columns are " + ", ".join(f"`{one}`" for one in names[:40])
