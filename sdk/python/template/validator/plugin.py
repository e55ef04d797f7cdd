from dataclasses import dataclass

from stagewright import Report, Validator, param


@dataclass
class Parameters:
    max_missing: float = param("The largest share of rows that may lack a value, in every column.", 0.5,
                               minimum=0, maximum=1)
    min_rows: int = param("The smallest number of rows.", 0, minimum=0)


class Completeness(Validator):
    """Refuses tables with too few rows or too many missing values."""

    Parameters = Parameters

    def validate(self, table, parameters):
        missing = dict.fromkeys((field.name for field in table.fields), 0)
        for part in table.batches():
            for column in part.columns:
                missing[column.name] += column.missing
        report = Report()
        report.metric("rows", table.rows)
        if table.rows < parameters.min_rows:
            report.violation(f"the table has {table.rows} rows; {parameters.min_rows} are needed")
        for name, count in missing.items():
            share = count / table.rows if table.rows else None
            report.metric("missing", share, support=table.rows, column=name)
            if share is not None and share > parameters.max_missing:
                report.violation(f"`{name}` lacks a value in {share:.1%} of the rows", column=name)
        return report
