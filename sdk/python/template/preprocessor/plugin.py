from array import array
from dataclasses import dataclass
from math import inf

from stagewright import Field, InvalidParameter, Preprocessor, param


@dataclass
class Parameters:
    low: float | None = param("The smallest value that stays as it is; none, if absent.", None)
    high: float | None = param("The largest value that stays as it is; none, if absent.", None)
    columns: list[str] = param("Which columns of float64; all of them, where the list is empty.", [])


class Clip(Preprocessor):
    """Moves numbers that lie outside of a range to its nearer end."""

    Parameters = Parameters

    def prepare(self, inputs, outputs, parameters):
        low = -inf if parameters.low is None else parameters.low
        high = inf if parameters.high is None else parameters.high
        if low > high:
            raise InvalidParameter(f"`low` ({low}) is above `high` ({high})")
        reader, writer = inputs["table"], outputs["table"]
        chosen = {reader.field(name).name for name in parameters.columns}
        writer.start([Field(field.name, field.type, field.nullable) for field in reader.fields])
        for table in reader.batches():
            for column in table.columns:
                if column.type == "float64" and (not chosen or column.name in chosen):
                    table = table.with_column(clipped(column, low, high))
            writer.write(table)


def clipped(column, low, high):
    """The column with every value inside the range. What is not a number stays so."""
    return column.replaced(array("d", [low if value < low else high if value > high else value
                                       for value in column.values]))
