// Between the component's bindings and the SDK. Written for `plugin build`; a plugin never needs it.

import * as host from "stagewright:stage/context@0.1.0";

import { connect } from "./context.js";
import { InvalidData, InvalidParameter, InvalidState } from "./failures.js";
import { parse, schema } from "./parameters.js";
import { Reader } from "./reader.js";
import { Field, Series, Table } from "./table.js";

connect(host);

// How many bytes one written batch may have, well below the contract's 16 MiB.
const BATCH_BYTES = 8 << 20;
const DEFAULT_PORTS = {
  inputs: [{ name: "table", doc: "The rows to work on.", optional: false }],
  outputs: [{ name: "table", doc: "The rows that were worked on.", optional: false }],
};

const TAGS = [
  [InvalidParameter, "invalid-parameter"],
  [InvalidData, "invalid-data"],
  [InvalidState, "invalid-state"],
];

/** Runs work; whatever goes wrong becomes the contract's failure. */
function told(work) {
  try {
    return work();
  } catch (error) {
    if (error?.payload?.tag) throw error.payload;
    const known = TAGS.find(([Kind]) => error instanceof Kind);
    if (known) throw { tag: known[1], val: error.message };
    throw { tag: "internal", val: `${error}${error?.stack ? ` (${String(error.stack).split("\n")[0]})` : ""}` };
  }
}

const fieldsIn = (fields) => fields.map((field) => new Field(field.name, field.type, field.nullable));
const fieldsOut = (fields) => fields.map(({ name, type, nullable }) => ({ name, type, nullable }));

function tableIn(fields, batch) {
  const series = (field, place) => new Series(field.name, field.type, batch.rows, batch.columns[place]);
  return new Table(fields.map(series), batch.rows);
}

const batchOut = (table) => ({ rows: table.rows, columns: table.columns.map((series) => series.column) });

class HostReader extends Reader {
  #host;

  constructor(handle) {
    const fields = fieldsIn(handle.schema());
    super({ fields, rows: Number(handle.rows()) });
    this.#host = handle;
  }

  next(places, rows) {
    const batch = this.#host.next(Uint32Array.from(places), rows);
    return batch === undefined ? undefined : tableIn(places.map((place) => this.fields[place]), batch);
  }

  rewind() {
    this.#host?.rewind();
  }
}

class HostWriter {
  #host;

  constructor(handle) {
    this.#host = handle;
  }

  start(fields) {
    this.#host.start(fieldsOut(fields));
  }

  write(table) {
    if (table.rows === 0) return;
    const weight = table.columns.reduce((sum, { column }) => sum + column.values.length + (column.offsets?.length ?? 0), 0);
    if (weight > BATCH_BYTES && table.rows > 1) {
      this.write(table.slice(0, table.rows >> 1));
      this.write(table.slice(table.rows >> 1, table.rows));
    } else {
      this.#host.write(batchOut(table));
    }
  }
}

/** The model behind an evaluator's, fairness checker's or monitor's handle. */
class Model {
  #host;

  constructor(handle) {
    this.#host = handle;
    this.input = fieldsIn(handle.input());
    this.fields = fieldsIn(handle.schema());
  }

  predict(table) {
    const chosen = new Table(this.input.map((field) => table.column(field.name)), table.rows);
    return tableIn(this.fields, this.#host.predict(batchOut(chosen)));
  }
}

const modelIn = (handle) => (handle === undefined || handle === null ? undefined : new Model(handle));

function reportOut(report) {
  const labels = (pairs) => Object.entries(pairs).map(([name, value]) => ({ name, value: String(value) }));
  const whole = (number) => (number === undefined || number === null ? undefined : BigInt(number));
  return {
    metrics: report.metrics.map((one) => ({ ...one, labels: labels(one.labels), support: whole(one.support) })),
    findings: report.findings.map((one) => ({ ...one, labels: labels(one.labels) })),
    figures: report.figures,
  };
}

/** The resource of a featurizer or predictor: what `load` returned, behind the contract's functions. */
function loaded(definition, last) {
  class Loaded {
    static load(saved, fields) {
      const self = new Loaded();
      self.fields = fieldsIn(fields);
      self.inner = told(() => definition.load(saved, self.fields));
      return self;
    }

    input() {
      return fieldsOut(this.inner.input());
    }

    schema() {
      return fieldsOut(this.inner.schema());
    }

    [last](rows) {
      return told(() => batchOut(this.inner[last](tableIn(this.fields, rows))));
    }
  }
  return Loaded;
}

/** The module's exports for a stage. */
export function exported({ kind, definition }) {
  const taken = (text) => parse(definition.parameters, text);
  const described = (kind, { doc, parameters, inputs, outputs }) => {
    const ports = kind === "preprocessor" ? DEFAULT_PORTS : { inputs: [], outputs: [] };
    return { kind, doc, parameters, inputs: inputs ?? ports.inputs, outputs: outputs ?? ports.outputs };
  };
  const itself = { ...definition, parameters: schema(definition.parameters) };
  const plugin = (...stages) => ({ describe: () => stages });
  const judged = (method) => (scored, model, text) =>
    told(() => reportOut(definition[method](new HostReader(scored), modelIn(model), taken(text))));
  switch (kind) {
    case "preprocessor":
      return {
        plugin: plugin(described(kind, itself)),
        preprocessor: {
          prepare: (inputs, outputs, text) =>
            told(() => {
              const named = (ports, Kind) => Object.fromEntries(ports.map((port) => [port.name, new Kind(port.table)]));
              definition.prepare(named(inputs, HostReader), named(outputs, HostWriter), taken(text));
            }),
        },
      };
    case "featurizer":
      return {
        plugin: plugin(described(kind, itself)),
        featurizer: {
          fit: (training, text) => told(() => definition.fit(new HostReader(training), taken(text))),
          Features: loaded(definition, "transform"),
        },
      };
    case "model":
      return {
        plugin: plugin(
          described("trainer", itself),
          described("predictor", { doc: definition.predictorDoc ?? definition.doc, parameters: "" }),
        ),
        trainer: {
          train: (training, validation, text) =>
            told(() =>
              definition.train(new HostReader(training), validation && new HostReader(validation), taken(text)),
            ),
        },
        predictor: { Model: loaded(definition, "predict") },
      };
    case "evaluator":
      return { plugin: plugin(described(kind, itself)), evaluator: { evaluate: judged("evaluate") } };
    case "fairness-checker":
      return { plugin: plugin(described(kind, itself)), fairnessChecker: { check: judged("check") } };
    case "validator":
      return {
        plugin: plugin(described(kind, itself)),
        validator: {
          validate: (table, text) =>
            told(() => reportOut(definition.validate(new HostReader(table), taken(text)))),
        },
      };
    default:
      return {
        plugin: plugin(described(kind, itself)),
        monitor: {
          observe: (reference, current, model, text) =>
            told(() =>
              reportOut(
                definition.observe(new HostReader(reference), new HostReader(current), modelIn(model), taken(text)),
              ),
            ),
        },
      };
  }
}
