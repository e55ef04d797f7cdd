import json
from array import array
from dataclasses import dataclass
from math import isfinite, sqrt

from stagewright import Featurizer, Field, InvalidData, InvalidState, Table, param


@dataclass
class Parameters:
    label: str = param("The column that is not a feature.", "")


class Standardize(Featurizer):
    """Scales every column of float64 to mean 0 and standard deviation 1; other columns pass through."""

    Parameters = Parameters

    def fit(self, training, parameters):
        names = [field.name for field in training.fields if field.type == "float64" and field.name != parameters.label]
        sums = {name: [0, 0.0, 0.0] for name in names}
        for table in training.batches(names or None):
            for name in names:
                total = sums[name]
                for value in table[name].numbers():
                    if isfinite(value):
                        # Welford's: no cancellation, whatever the size of the values.
                        total[0] += 1
                        step = value - total[1]
                        total[1] += step / total[0]
                        total[2] += step * (value - total[1])
        state = {
            "label": parameters.label,
            "scales": {name: [mean, sqrt(squares / count) if count and squares > 0 else 1.0]
                       for name, (count, mean, squares) in sums.items()},
            "columns": [[field.name, field.type, field.nullable] for field in training.fields],
        }
        return json.dumps(state).encode()

    def load(self, state, fields):
        try:
            state = json.loads(state)
            label, scales = state["label"], {name: (float(mean), float(deviation))
                                             for name, (mean, deviation) in state["scales"].items()}
            known = [Field(name, kind, nullable) for name, kind, nullable in state["columns"]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidState(f"this is no state of this plugin: {error}") from None
        here = {field.name: field for field in fields}
        taken = []
        for field in known:
            if field.name in here and here[field.name].type == field.type:
                taken.append(here[field.name])
            elif field.name != label or field.name in here:
                raise InvalidData(f"the rows need a column `{field.name}` of type {field.type}")
        return Scaled(label, scales, taken)


class Scaled:
    def __init__(self, label, scales, fields):
        self.label, self.scales, self.fields = label, scales, fields

    def input(self):
        return [field for field in self.fields if field.name != self.label]

    def schema(self):
        return self.fields

    def transform(self, table):
        return Table([self.scaled(table[field.name]) for field in self.fields], table.rows)

    def scaled(self, column):
        if column.name not in self.scales:
            return column
        mean, deviation = self.scales[column.name]
        return column.replaced(array("d", [(value - mean) / deviation for value in column.values]))
