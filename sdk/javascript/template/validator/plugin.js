import { Report, validator } from "stagewright";

export default validator({
  doc: "Refuses tables with too few rows or too many missing values.",
  parameters: {
    max_missing: {
      type: "number",
      description: "The largest share of rows that may lack a value, in every column.",
      default: 0.5,
      minimum: 0,
      maximum: 1,
    },
    min_rows: { type: "integer", description: "The smallest number of rows.", default: 0, minimum: 0 },
  },

  validate(table, { max_missing, min_rows }) {
    const missing = table.fields.map(() => 0);
    for (const part of table.batches()) {
      part.columns.forEach((column, place) => (missing[place] += column.missing));
    }
    const report = new Report();
    report.metric("rows", table.rows);
    if (table.rows < min_rows) report.violation(`the table has ${table.rows} rows; ${min_rows} are needed`);
    table.fields.forEach(({ name }, place) => {
      const share = table.rows ? missing[place] / table.rows : undefined;
      report.metric("missing", share, { labels: { column: name }, support: table.rows });
      if (share !== undefined && share > max_missing) {
        report.violation(`\`${name}\` lacks a value in ${(share * 100).toFixed(1)}% of the rows`, { column: name });
      }
    });
    return report;
  },
});
