"""The kinds of stage as classes to derive from, and what they read and write."""

from .failures import InvalidData
from .table import Table, no_such_column

ROWS_AT_A_TIME = 65_536


class Port:
    """A table that a preprocessor reads or writes."""

    def __init__(self, name, doc, optional=False):
        self.name, self.doc, self.optional = name, doc, optional


class Stage:
    """What every kind has. The class's docstring says what the stage does, for people."""

    #: A dataclass of parameters, or None.
    Parameters = None


class Preprocessor(Stage):
    """Tables in, tables out."""

    INPUTS = [Port("table", "The rows to work on.")]
    OUTPUTS = [Port("table", "The rows that were worked on.")]

    def prepare(self, inputs, outputs, parameters):
        """`inputs` and `outputs` are dictionaries from port to Reader and Writer."""
        raise NotImplementedError


class Featurizer(Stage):
    """Feature engineering that learns from the training rows."""

    def fit(self, training, parameters):
        """Learns the state; returns bytes."""
        raise NotImplementedError

    def load(self, state, fields):
        """Reads a state for rows of these columns; returns an object with `input`, `schema` and `transform`."""
        raise NotImplementedError


class Trainer(Stage):
    """Learns a model's weights."""

    def train(self, training, validation, parameters):
        """Learns the weights; returns bytes. `validation` is a Reader or None."""
        raise NotImplementedError


class Predictor(Stage):
    """Applies a model's weights."""

    def load(self, weights, fields):
        """Reads weights for rows of these columns; returns an object with `input`, `schema` and `predict`."""
        raise NotImplementedError


class Evaluator(Stage):
    """Judges predictions."""

    def evaluate(self, scored, model, parameters):
        """`scored` has the rows' columns and then the predictions'. `model` is a Model or None. Returns a Report."""
        raise NotImplementedError


class FairnessChecker(Stage):
    """Judges decisions on groups of people."""

    def check(self, scored, model, parameters):
        """As `Evaluator.evaluate`."""
        raise NotImplementedError


class Validator(Stage):
    """Judges a table."""

    def validate(self, table, parameters):
        """Returns a Report; a violation in it stops the run."""
        raise NotImplementedError


class Monitor(Stage):
    """Compares a current table with a reference."""

    def observe(self, reference, current, model, parameters):
        """Returns a Report. `model` is a Model or None."""
        raise NotImplementedError


class Reader:
    """A table to read; here one in memory, for tests. In the sandbox the host's takes its place."""

    def __init__(self, table):
        self._table, self._done = table, False
        self.fields, self.rows = table.fields, table.rows

    def _next(self, places, rows):
        if self._done or self._table.rows == 0:
            return None
        self._done = True
        return Table([self._table.columns[place] for place in places], self._table.rows)

    def rewind(self):
        """Starts again at the first row."""
        self._done = False

    def batches(self, columns=None, rows=ROWS_AT_A_TIME):
        """The table from its first row, in pieces, of the named columns (all, if none is named)."""
        names = [field.name for field in self.fields]
        for name in columns or []:
            if name not in names:
                raise InvalidData(no_such_column(name, names))
        places = [names.index(name) for name in columns] if columns else list(range(len(names)))
        self.rewind()
        while (table := self._next(places, rows)) is not None:
            yield table

    def field(self, name):
        """A column's name and type."""
        for field in self.fields:
            if field.name == name:
                return field
        raise InvalidData(no_such_column(name, [field.name for field in self.fields]))


class Writer:
    """A table to write; here one in memory, for tests."""

    def __init__(self):
        self.fields, self.tables = None, []

    def start(self, fields):
        """Says which columns follow. Must be called, even where no rows follow."""
        self.fields = fields

    def write(self, table):
        """Adds rows."""
        self.tables.append(table)
