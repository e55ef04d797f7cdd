/** Types of the SDK. Parameters' types come from their schemas, written with `as const` where words matter. */

export type ColumnType = "boolean" | "int64" | "float64" | "timestamp" | "text" | "category";
/** What a row may hold. Whole numbers and times are bigints. */
export type Value = boolean | bigint | number | string;
export type Labels = Record<string, string | number>;

export class Field {
  constructor(name: string, type: ColumnType, nullable?: boolean);
  name: string;
  type: ColumnType;
  nullable: boolean;
  readonly isNumeric: boolean;
}

export class Series {
  static of(name: string, type: ColumnType, values: readonly (Value | null | undefined)[]): Series;
  static floats(name: string, values: Float64Array): Series;
  readonly name: string;
  readonly type: ColumnType;
  readonly rows: number;
  readonly field: Field;
  readonly values: Float64Array | BigInt64Array | Uint32Array;
  readonly missing: number;
  has(row: number): boolean;
  at(row: number): Value | null;
  number(row: number): number;
  text(row: number): string | null;
  numbers(): Float64Array;
  replaced(numbers: Float64Array): Series;
  renamed(name: string): Series;
}

export class Table {
  constructor(columns: Series[], rows?: number);
  columns: Series[];
  rows: number;
  readonly fields: Field[];
  column(name: string): Series;
  slice(start: number, end: number): Table;
}

export class Reader {
  constructor(table: Table);
  fields: Field[];
  rows: number;
  field(name: string): Field;
  batches(columns?: readonly string[], rows?: number): Generator<Table>;
  rewind(): void;
}

export class Writer {
  fields: Field[];
  tables: Table[];
  start(fields: readonly Field[]): void;
  write(table: Table): void;
}

export interface Model {
  input: Field[];
  fields: Field[];
  predict(table: Table): Table;
}

export interface About {
  labels?: Labels;
  support?: number;
  low?: number;
  high?: number;
}

export class Report {
  metric(name: string, value: number | undefined | null, about?: About): void;
  info(message: string, labels?: Labels): void;
  warning(message: string, labels?: Labels): void;
  violation(message: string, labels?: Labels): void;
  figure(title: string, specification: object): void;
}

export class Failure extends Error {}
export class InvalidParameter extends Failure {}
export class InvalidData extends Failure {}
export class InvalidState extends Failure {}

export const context: {
  log(message: string, level?: "debug" | "info" | "warn" | "error"): void;
  progress(done: number | bigint, total?: number | bigint): void;
  metric(name: string, step: number | bigint, value: number): void;
  seed(): bigint;
  cancelled(): boolean;
};

type Kind = "string" | "number" | "integer" | "boolean" | "array";
/** A parameter: a JSON Schema, of which these words are checked here too. */
export interface Parameter {
  type?: Kind | readonly [Kind, "null"];
  description: string;
  default?: unknown;
  enum?: readonly string[];
  minimum?: number;
  maximum?: number;
  items?: { type: "string" | "number" | "integer" | "boolean" };
}
export type Schema = Record<string, Parameter>;
type One<Kind> = Kind extends "string" ? string : Kind extends "number" | "integer" ? number : Kind extends "boolean" ? boolean : unknown;
type Of<P> = P extends { enum: readonly (infer Word)[] }
  ? Word
  : P extends { type: "array"; items: { type: infer Kind } }
    ? One<Kind>[]
    : P extends { type: readonly [infer Kind, "null"] }
      ? One<Kind> | null
      : P extends { type: infer Kind }
        ? One<Kind>
        : unknown;
export type Parameters<S> = { readonly [Name in keyof S]: Of<S[Name]> };

export interface Port {
  name: string;
  doc: string;
  optional: boolean;
}
interface Described<S> {
  doc: string;
  parameters?: S;
}
export interface Loaded {
  input(): Field[];
  schema(): Field[];
}
export interface Features extends Loaded {
  transform(rows: Table): Table;
}
export interface Fitted extends Loaded {
  predict(rows: Table): Table;
}
export interface Stage {
  readonly kind: string;
}

export function preprocessor<const S extends Schema>(
  stage: Described<S> & {
    inputs?: Port[];
    outputs?: Port[];
    prepare(inputs: Record<string, Reader>, outputs: Record<string, Writer>, parameters: Parameters<S>): void;
  },
): Stage;
export function featurizer<const S extends Schema>(
  stage: Described<S> & {
    fit(training: Reader, parameters: Parameters<S>): Uint8Array;
    load(state: Uint8Array, fields: Field[]): Features;
  },
): Stage;
export function model<const S extends Schema>(
  stage: Described<S> & {
    predictorDoc?: string;
    train(training: Reader, validation: Reader | undefined, parameters: Parameters<S>): Uint8Array;
    load(weights: Uint8Array, fields: Field[]): Fitted;
  },
): Stage;
export function evaluator<const S extends Schema>(
  stage: Described<S> & { evaluate(scored: Reader, model: Model | undefined, parameters: Parameters<S>): Report },
): Stage;
export function fairnessChecker<const S extends Schema>(
  stage: Described<S> & { check(scored: Reader, model: Model | undefined, parameters: Parameters<S>): Report },
): Stage;
export function validator<const S extends Schema>(
  stage: Described<S> & { validate(table: Reader, parameters: Parameters<S>): Report },
): Stage;
export function monitor<const S extends Schema>(
  stage: Described<S> & {
    observe(reference: Reader, current: Reader, model: Model | undefined, parameters: Parameters<S>): Report;
  },
): Stage;
