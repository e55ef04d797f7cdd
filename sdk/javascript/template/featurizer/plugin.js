import { InvalidData, InvalidState, Table, featurizer } from "stagewright";

export default featurizer({
  doc: "Scales every column of float64 to mean 0 and standard deviation 1; other columns pass through.",
  parameters: {
    label: { type: "string", description: "The column that is not a feature.", default: "" },
  },

  fit(training, { label }) {
    const names = training.fields.filter(({ name, type }) => type === "float64" && name !== label).map(({ name }) => name);
    const sums = names.map(() => ({ count: 0, mean: 0, squares: 0 }));
    for (const table of training.batches(names)) {
      names.forEach((name, place) => {
        const sum = sums[place];
        for (const value of table.column(name).numbers()) {
          if (!Number.isFinite(value)) continue;
          // Welford's: no cancellation, whatever the size of the values.
          const step = value - sum.mean;
          sum.mean += step / ++sum.count;
          sum.squares += step * (value - sum.mean);
        }
      });
    }
    const scales = names.map((name, place) => {
      const { count, mean, squares } = sums[place];
      return [name, mean, squares > 0 ? Math.sqrt(squares / count) : 1];
    });
    const columns = training.fields.map(({ name, type, nullable }) => [name, type, nullable]);
    return new TextEncoder().encode(JSON.stringify({ label, scales, columns }));
  },

  load(state, fields) {
    const { label, scales, columns } = read(state);
    const taken = [];
    for (const [name, type] of columns) {
      const here = fields.find((field) => field.name === name);
      if (here && here.type === type) taken.push(here);
      else if (here || name !== label) throw new InvalidData(`the rows need a column \`${name}\` of type ${type}`);
    }
    const inputs = taken.filter(({ name }) => name !== label);
    return {
      input: () => inputs,
      schema: () => taken,
      transform: (rows) => new Table(taken.map(({ name }) => scaled(rows.column(name), scales.get(name))), rows.rows),
    };
  },
});

function read(bytes) {
  try {
    const state = JSON.parse(new TextDecoder().decode(bytes));
    const scales = new Map(state.scales.map(([name, mean, deviation]) => [name, { mean, deviation }]));
    return { label: String(state.label), scales, columns: [...state.columns] };
  } catch (error) {
    throw new InvalidState(`this is no state of this plugin: ${error}`);
  }
}

function scaled(column, scale) {
  if (!scale) return column;
  const values = new Float64Array(column.rows);
  for (let row = 0; row < column.rows; row++) values[row] = (Number(column.values[row]) - scale.mean) / scale.deviation;
  return column.replaced(values);
}
