import { InvalidParameter, Table, preprocessor } from "stagewright";

export default preprocessor({
  doc: "Moves numbers that lie outside of a range to its nearer end.",
  parameters: {
    low: { type: ["number", "null"], description: "The smallest value that stays as it is; none, if absent.", default: null },
    high: { type: ["number", "null"], description: "The largest value that stays as it is; none, if absent.", default: null },
    columns: {
      type: "array",
      items: { type: "string" },
      description: "Which columns of float64; all of them, where the list is empty.",
      default: [],
    },
  },

  prepare(inputs, outputs, { columns, ...bounds }) {
    const [low, high] = [bounds.low ?? -Infinity, bounds.high ?? Infinity];
    if (low > high) throw new InvalidParameter(`\`low\` (${low}) is above \`high\` (${high})`);
    const { table: reader } = inputs;
    const { table: writer } = outputs;
    const chosen = columns.map((name) => reader.field(name).name);
    writer.start(reader.fields);
    for (const table of reader.batches()) {
      const clipped = table.columns.map((column) => {
        if (column.type !== "float64" || (chosen.length > 0 && !chosen.includes(column.name))) return column;
        const values = new Float64Array(column.rows);
        for (let row = 0; row < column.rows; row++) {
          const value = Number(column.values[row]);
          // What is not a number stays so.
          values[row] = value < low ? low : value > high ? high : value;
        }
        return column.replaced(values);
      });
      writer.write(new Table(clipped, table.rows));
    }
  },
});
