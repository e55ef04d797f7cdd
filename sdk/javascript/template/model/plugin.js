import { Field, InvalidData, InvalidState, Series, Table, context, model } from "stagewright";

export default model({
  doc: "Fits a straight line through one column by least squares.",
  predictorDoc: "Follows the line; where the feature is missing, predicts the mean.",
  parameters: {
    label: { type: "string", description: "The column to predict: a number." },
    feature: {
      type: "string",
      description: "The column to predict it from; the first other one of float64, where this is empty.",
      default: "",
    },
  },

  train(training, validation, parameters) {
    const label = training.field(parameters.label);
    if (!label.isNumeric) throw new InvalidData(`the label \`${label.name}\` holds ${label.type}; a line needs a number`);
    const first = training.fields.find(({ name, type }) => type === "float64" && name !== label.name);
    const feature = parameters.feature ? training.field(parameters.feature) : first;
    if (!feature?.isNumeric) throw new InvalidData("there is no column of numbers to predict from");
    let [count, xMean, yMean, xx, xy] = [0, 0, 0, 0, 0];
    for (const table of training.batches([feature.name, label.name])) {
      const [xs, ys] = table.columns.map((column) => column.numbers());
      for (let row = 0; row < table.rows; row++) {
        const [x, y] = [xs[row], ys[row]];
        if (!Number.isFinite(x) || !Number.isFinite(y)) continue;
        count++;
        const step = x - xMean;
        xMean += step / count;
        yMean += (y - yMean) / count;
        xx += step * (x - xMean);
        xy += step * (y - yMean);
      }
    }
    if (count === 0) throw new InvalidData(`no row has both \`${feature.name}\` and \`${label.name}\``);
    const slope = xx > 0 ? xy / xx : 0;
    context.log(`${label.name} = ${yMean} + ${slope} * (${feature.name} - ${xMean})`);
    const weights = { feature: feature.name, type: feature.type, slope, xMean, yMean };
    return new TextEncoder().encode(JSON.stringify(weights));
  },

  load(weights, fields) {
    const { feature, type, slope, xMean, yMean } = read(weights);
    const field = fields.find(({ name, isNumeric }) => name === feature && isNumeric);
    if (!field) throw new InvalidData(`the rows need a column \`${feature}\` of type ${type}`);
    return {
      input: () => [field],
      schema: () => [new Field("prediction", "float64")],
      predict(rows) {
        const line = rows
          .column(feature)
          .numbers()
          .map((x) => (Number.isFinite(x) ? yMean + slope * (x - xMean) : yMean));
        return new Table([Series.floats("prediction", line)], rows.rows);
      },
    };
  },
});

function read(bytes) {
  let weights;
  try {
    weights = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new InvalidState(`these are no weights of this plugin: ${error}`);
  }
  const numbers = [weights?.slope, weights?.xMean, weights?.yMean];
  if (typeof weights?.feature !== "string" || !numbers.every(Number.isFinite)) {
    throw new InvalidState("these are no weights of this plugin");
  }
  return weights;
}
