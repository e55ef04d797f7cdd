import { Report, evaluator } from "stagewright";

export default evaluator({
  doc: "Counts how often the prediction is the label, and whether the model, asked again, says the same.",
  parameters: {
    label: { type: "string", description: "The column with the truth." },
    prediction: { type: "string", description: "The column with what was predicted.", default: "prediction" },
  },

  evaluate(scored, model, parameters) {
    let [rows, right, asked, same] = [0, 0, 0, 0];
    for (const table of scored.batches()) {
      const [label, prediction] = [table.column(parameters.label), table.column(parameters.prediction)];
      for (let row = 0; row < table.rows; row++) {
        const [truth, said] = [label.text(row), prediction.text(row)];
        if (truth === null || said === null) continue;
        rows++;
        if (truth === said) right++;
      }
      // One batch is enough to see that the scored rows are this model's.
      if (model && asked === 0) {
        const again = model.predict(table).column(parameters.prediction);
        asked = table.rows;
        for (let row = 0; row < asked; row++) if (again.text(row) === prediction.text(row)) same++;
      }
    }
    const report = new Report();
    report.metric("accuracy", rows ? right / rows : undefined, { support: rows });
    if (asked) report.metric("agreement", same / asked, { support: asked });
    return report;
  },
});
