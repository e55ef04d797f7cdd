/**
 * Write a Stagewright stage in JavaScript: call the function of a kind of stage with what it takes and does, and
 * export what it returns as the module's default.
 *
 * Columns that came from the host are viewed through typed arrays; a column that was not changed goes back as it came.
 * Randomness comes from `context.seed()`.
 */

export { Field, Series, Table, noSuchColumn } from "./table.js";
export { Report } from "./report.js";
export { Failure, InvalidData, InvalidParameter, InvalidState } from "./failures.js";
export { Reader, Writer } from "./reader.js";
export { context } from "./context.js";

const stage = (kind) => (definition) => ({ kind, definition });

/** Tables in, tables out: `prepare(inputs, outputs, parameters)`. */
export const preprocessor = stage("preprocessor");
/** Feature engineering: `fit(training, parameters)` and `load(state, fields)`. */
export const featurizer = stage("featurizer");
/** A trainer and its predictor: `train(training, validation, parameters)` and `load(weights, fields)`. */
export const model = stage("model");
/** Judges predictions: `evaluate(scored, model, parameters)`. */
export const evaluator = stage("evaluator");
/** Judges decisions by group: `check(scored, model, parameters)`. */
export const fairnessChecker = stage("fairness-checker");
/** Judges a table: `validate(table, parameters)`. */
export const validator = stage("validator");
/** Compares two tables: `observe(reference, current, model, parameters)`. */
export const monitor = stage("monitor");
