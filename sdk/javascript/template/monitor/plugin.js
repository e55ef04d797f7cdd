import { Report, monitor } from "stagewright";

export default monitor({
  doc: "Watches how far the mean of every numeric column has moved, in standard deviations of the reference.",
  parameters: {
    threshold: {
      type: "number",
      description: "How many standard deviations a mean may move before it is worth a look.",
      default: 0.5,
      minimum: 0,
    },
  },

  observe(reference, current, model, { threshold }) {
    const here = current.fields.filter((field) => field.isNumeric).map(({ name }) => name);
    const names = reference.fields.filter((field) => field.isNumeric && here.includes(field.name)).map(({ name }) => name);
    const [before, after] = [moments(reference, names), moments(current, names)];
    const report = new Report();
    names.forEach((column, place) => {
      const { mean, deviation } = before[place];
      const { count, mean: moved } = after[place];
      const shift = count > 0 && deviation > 0 ? Math.abs(moved - mean) / deviation : undefined;
      report.metric("mean-shift", shift, { labels: { column }, support: count });
      if (shift !== undefined && shift > threshold) {
        report.warning(`the mean of \`${column}\` has moved by ${shift.toFixed(2)} standard deviations`, { column });
      }
    });
    return report;
  },
});

/** The number of values of each column, their mean and their standard deviation. */
function moments(reader, names) {
  const sums = names.map(() => ({ count: 0, mean: 0, squares: 0 }));
  for (const table of names.length > 0 ? reader.batches(names) : []) {
    table.columns.forEach((column, place) => {
      const sum = sums[place];
      for (const value of column.numbers()) {
        if (!Number.isFinite(value)) continue;
        const step = value - sum.mean;
        sum.mean += step / ++sum.count;
        sum.squares += step * (value - sum.mean);
      }
    });
  }
  return sums.map(({ count, mean, squares }) => ({ count, mean, deviation: count > 0 ? Math.sqrt(squares / count) : 0 }));
}
