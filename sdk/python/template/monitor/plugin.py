from dataclasses import dataclass
from math import isfinite, sqrt

from stagewright import Monitor, Report, param


@dataclass
class Parameters:
    threshold: float = param("How many standard deviations a mean may move before it is worth a look.", 0.5, minimum=0)


class MeanShift(Monitor):
    """Watches how far the mean of every numeric column has moved, in standard deviations of the reference."""

    Parameters = Parameters

    def observe(self, reference, current, model, parameters):
        here = {field.name for field in current.fields if field.is_numeric}
        names = [field.name for field in reference.fields if field.is_numeric and field.name in here]
        before, after = moments(reference, names), moments(current, names)
        report = Report()
        for name in names:
            (_, mean, deviation), (rows, moved, _) = before[name], after[name]
            shift = abs(moved - mean) / deviation if rows and deviation > 0 else None
            report.metric("mean-shift", shift, support=rows, column=name)
            if shift is not None and shift > parameters.threshold:
                report.warning(f"the mean of `{name}` has moved by {shift:.2f} standard deviations", column=name)
        return report


def moments(reader, names):
    """The number of values of each column, their mean and their standard deviation."""
    sums = {name: [0, 0.0, 0.0] for name in names}
    for table in reader.batches(names) if names else ():
        for column in table.columns:
            total = sums[column.name]
            for value in column.numbers():
                if isfinite(value):
                    total[0] += 1
                    step = value - total[1]
                    total[1] += step / total[0]
                    total[2] += step * (value - total[1])
    return {name: (count, mean, sqrt(squares / count) if count else 0.0)
            for name, (count, mean, squares) in sums.items()}
