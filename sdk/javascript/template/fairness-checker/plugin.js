import { Report, fairnessChecker } from "stagewright";

export default fairnessChecker({
  doc: "Compares how often each group is predicted the good outcome.",
  parameters: {
    group: { type: "string", description: "The column that names each row's group." },
    positive: { type: "string", description: "The prediction that is good for a person.", default: "true" },
    prediction: { type: "string", description: "The column with what was predicted.", default: "prediction" },
    least: {
      type: "number",
      description: "The lowest share of the highest rate that a group's rate may have.",
      default: 0.8,
      minimum: 0,
      maximum: 1,
    },
  },

  check(scored, model, parameters) {
    const counts = new Map();
    for (const table of scored.batches([parameters.group, parameters.prediction])) {
      const [groups, predictions] = table.columns;
      for (let row = 0; row < table.rows; row++) {
        const [group, said] = [groups.text(row), predictions.text(row)];
        if (group === null || said === null) continue;
        const count = counts.get(group) ?? { rows: 0, good: 0 };
        count.rows++;
        if (said === parameters.positive) count.good++;
        counts.set(group, count);
      }
    }
    const report = new Report();
    const names = [...counts.keys()].sort();
    const rates = names.map((name) => counts.get(name).good / counts.get(name).rows);
    names.forEach((group, place) => {
      report.metric("selection-rate", rates[place], { labels: { group }, support: counts.get(group).rows });
    });
    const highest = Math.max(0, ...rates);
    report.metric("selection-rate-ratio", highest > 0 ? Math.min(...rates) / highest : undefined);
    names.forEach((group, place) => {
      const ratio = rates[place] / highest;
      if (ratio < parameters.least) {
        report.warning(`\`${group}\` is selected at ${ratio.toFixed(3)} of the highest rate`, { group });
      }
    });
    return report;
  },
});
