import json
from dataclasses import dataclass
from math import isfinite

from stagewright import Field, InvalidData, InvalidState, Predictor, Series, Table, Trainer, context, param


@dataclass
class Parameters:
    label: str = param("The column to predict: a number.")
    feature: str = param("The column to predict it from; the first other one of float64, where this is empty.", "")


class LeastSquares(Trainer):
    """Fits a straight line through one column by least squares."""

    Parameters = Parameters

    def train(self, training, validation, parameters):
        label = training.field(parameters.label)
        if not label.is_numeric:
            raise InvalidData(f"the label `{label.name}` holds {label.type}; a line needs a number")
        feature = parameters.feature or next(
            (one.name for one in training.fields if one.type == "float64" and one.name != label.name), None)
        if feature is None or not training.field(feature).is_numeric:
            raise InvalidData("there is no column of numbers to predict from")
        count, x_mean, y_mean, xx, xy = 0, 0.0, 0.0, 0.0, 0.0
        for table in training.batches([feature, label.name]):
            for x, y in zip(*table.columns):
                if x is None or y is None or not isfinite(x) or not isfinite(y):
                    continue
                count += 1
                x_step = x - x_mean
                x_mean += x_step / count
                y_mean += (y - y_mean) / count
                xx += x_step * (x - x_mean)
                xy += x_step * (y - y_mean)
        if count == 0:
            raise InvalidData(f"no row has both `{feature}` and `{label.name}`")
        slope = xy / xx if xx > 0 else 0.0
        context.log(f"{label.name} = {y_mean} + {slope} * ({feature} - {x_mean})")
        return json.dumps({"feature": feature, "type": training.field(feature).type, "slope": slope,
                           "x_mean": x_mean, "y_mean": y_mean}).encode()


class Line(Predictor):
    """Follows the line; where the feature is missing, predicts the mean."""

    def load(self, weights, fields):
        try:
            weights = json.loads(weights)
            feature, kind = str(weights["feature"]), str(weights["type"])
            numbers = [float(weights[name]) for name in ("slope", "x_mean", "y_mean")]
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidState(f"these are no weights of this plugin: {error}") from None
        for field in fields:
            if field.name == feature and field.is_numeric:
                return Fitted(field, *numbers)
        raise InvalidData(f"the rows need a column `{feature}` of type {kind}")


class Fitted:
    def __init__(self, field, slope, x_mean, y_mean):
        self.field, self.slope, self.x_mean, self.y_mean = field, slope, x_mean, y_mean

    def input(self):
        return [self.field]

    def schema(self):
        return [Field("prediction", "float64")]

    def predict(self, table):
        values = [self.y_mean if x is None or not isfinite(x) else self.y_mean + self.slope * (x - self.x_mean)
                  for x in table[self.field.name]]
        return Table([Series.floats("prediction", values)], table.rows)
