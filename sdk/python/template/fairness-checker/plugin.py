from dataclasses import dataclass

from stagewright import FairnessChecker, Report, param


@dataclass
class Parameters:
    group: str = param("The column that names each row's group.")
    positive: str = param("The prediction that is good for a person.", "true")
    prediction: str = param("The column with what was predicted.", "prediction")
    least: float = param("The lowest share of the highest rate that a group's rate may have.", 0.8,
                         minimum=0, maximum=1)


class SelectionRates(FairnessChecker):
    """Compares how often each group is predicted the good outcome."""

    Parameters = Parameters

    def check(self, scored, model, parameters):
        counts = {}
        for table in scored.batches([parameters.group, parameters.prediction]):
            for group, said in zip(*table.columns):
                if group is not None and said is not None:
                    count = counts.setdefault(text(group), [0, 0])
                    count[0] += 1
                    count[1] += text(said) == parameters.positive
        rates = {group: good / rows for group, (rows, good) in sorted(counts.items())}
        report = Report()
        for group, rate in rates.items():
            report.metric("selection-rate", rate, support=counts[group][0], group=group)
        highest = max(rates.values(), default=0.0)
        ratio = min(rates.values()) / highest if highest > 0 else None
        report.metric("selection-rate-ratio", ratio)
        for group, rate in rates.items():
            if highest > 0 and rate / highest < parameters.least:
                report.warning(f"`{group}` is selected at {rate / highest:.3f} of the highest rate", group=group)
        return report


def text(value):
    """A value as pipelines write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
