from dataclasses import dataclass

from stagewright import Evaluator, Report, param


@dataclass
class Parameters:
    label: str = param("The column with the truth.")
    prediction: str = param("The column with what was predicted.", "prediction")


class Accuracy(Evaluator):
    """Counts how often the prediction is the label, and whether the model, asked again, says the same."""

    Parameters = Parameters

    def evaluate(self, scored, model, parameters):
        rows = right = asked = same = 0
        for table in scored.batches():
            label, prediction = table[parameters.label], table[parameters.prediction]
            for truth, said in zip(label, prediction):
                if truth is not None and said is not None:
                    rows += 1
                    right += truth == said
            # One batch is enough to see that the scored rows are this model's.
            if model is not None and not asked:
                again = model.predict(table)[parameters.prediction]
                asked = table.rows
                same = sum(before == after for before, after in zip(prediction, again))
        report = Report()
        report.metric("accuracy", right / rows if rows else None, support=rows)
        if asked:
            report.metric("agreement", same / asked, support=asked)
        return report
