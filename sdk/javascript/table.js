import { InvalidData } from "./failures.js";

const NUMBERS = { float64: Float64Array, int64: BigInt64Array, timestamp: BigInt64Array };
const encoder = new TextEncoder();
const decoder = new TextDecoder();

const isText = (type) => type === "text" || type === "category";
const bit = (bytes, row) => ((bytes[row >> 3] >> (row & 7)) & 1) === 1;

function bits(rows, isSet) {
  const packed = new Uint8Array((rows + 7) >> 3);
  for (let row = 0; row < rows; row++) if (isSet(row)) packed[row >> 3] |= 1 << (row & 7);
  return packed;
}

/** Views bytes as numbers; where they lie at an odd address, copies them. */
function viewed(Kind, bytes) {
  if (bytes.byteOffset % Kind.BYTES_PER_ELEMENT) bytes = bytes.slice();
  return new Kind(bytes.buffer, bytes.byteOffset, bytes.byteLength / Kind.BYTES_PER_ELEMENT);
}

const raw = (numbers) => new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);

/** A column's name and type. */
export class Field {
  constructor(name, type, nullable = false) {
    this.name = name;
    this.type = type;
    this.nullable = nullable;
  }

  /** Whether its values are numbers (or yes and no, which count as 1 and 0). */
  get isNumeric() {
    return !isText(this.type);
  }
}

/** A named column. */
export class Series {
  #view;
  #offsets;

  /** From the contract's buffers; `Series.of` makes one from values. */
  constructor(name, type, rows, column) {
    this.name = name;
    this.type = type;
    this.rows = rows;
    this.column = column;
  }

  /** From values, with null where a row has none. Whole numbers and times are BigInts. */
  static of(name, type, values) {
    const rows = values.length;
    const has = (row) => values[row] !== null && values[row] !== undefined;
    const validity = values.every((_, row) => has(row)) ? undefined : bits(rows, has);
    if (type === "boolean") return new Series(name, type, rows, { values: bits(rows, (row) => values[row]), validity });
    if (NUMBERS[type]) {
      const numbers = new NUMBERS[type](rows);
      for (let row = 0; row < rows; row++) if (has(row)) numbers[row] = values[row];
      return new Series(name, type, rows, { values: raw(numbers), validity });
    }
    if (type === "text") {
      const texts = values.map((value, row) => encoder.encode(has(row) ? value : ""));
      const offsets = new Uint32Array(rows + 1);
      texts.forEach((text, row) => (offsets[row + 1] = offsets[row] + text.length));
      const whole = new Uint8Array(offsets[rows]);
      texts.forEach((text, row) => whole.set(text, offsets[row]));
      return new Series(name, type, rows, { values: whole, validity, offsets: raw(offsets) });
    }
    const known = new Map();
    const codes = new Uint32Array(rows);
    values.forEach((value, row) => {
      if (!has(row)) return;
      if (!known.has(value)) known.set(value, known.size);
      codes[row] = known.get(value);
    });
    const words = known.size ? [...known.keys()] : [""];
    return new Series(name, type, rows, { values: raw(codes), validity, words });
  }

  /** Numbers from a Float64Array; every row has a value. */
  static floats(name, values) {
    return new Series(name, "float64", values.length, { values: raw(values) });
  }

  get field() {
    return new Field(this.name, this.type, this.column.validity !== undefined);
  }

  /** Whole numbers, numbers or times as a typed array, codes of a category likewise. Without a copy where possible. */
  get values() {
    this.#view ??= viewed(NUMBERS[this.type] ?? Uint32Array, this.column.values);
    return this.#view;
  }

  /** Whether a row has a value. */
  has(row) {
    return this.column.validity === undefined || bit(this.column.validity, row);
  }

  /** The number of rows without a value. */
  get missing() {
    let count = 0;
    if (this.column.validity) for (let row = 0; row < this.rows; row++) count += this.has(row) ? 0 : 1;
    return count;
  }

  /** The value of a row: null where it has none. Whole numbers and times are BigInts. */
  at(row) {
    if (!this.has(row)) return null;
    if (this.type === "boolean") return bit(this.column.values, row);
    if (this.type === "text") {
      this.#offsets ??= viewed(Uint32Array, this.column.offsets);
      return decoder.decode(this.column.values.subarray(this.#offsets[row], this.#offsets[row + 1]));
    }
    return this.type === "category" ? this.column.words[this.values[row]] : this.values[row];
  }

  /** The value of a row as a number: NaN where it has none. */
  number(row) {
    return this.has(row) ? Number(this.at(row)) : NaN;
  }

  /** The value of a row as people write it: null where it has none. */
  text(row) {
    const value = this.at(row);
    return value === null ? null : String(value);
  }

  /** Every value as a number, NaN where there is none. */
  numbers() {
    if (isText(this.type)) throw new InvalidData(`the column \`${this.name}\` holds ${this.type}, not numbers`);
    if (this.type === "float64" && !this.column.validity) return this.values;
    return Float64Array.from({ length: this.rows }, (_, row) => this.number(row));
  }

  /** A column of float64 in this one's place: same name, same rows missing. */
  replaced(numbers) {
    return new Series(this.name, "float64", this.rows, { values: raw(numbers), validity: this.column.validity });
  }

  /** The same values under another name. */
  renamed(name) {
    return new Series(name, this.type, this.rows, this.column);
  }
}

/** Columns of one length. */
export class Table {
  constructor(columns, rows = columns[0]?.rows ?? 0) {
    this.columns = columns;
    this.rows = rows;
  }

  get fields() {
    return this.columns.map((column) => column.field);
  }

  /** The column of this name. */
  column(name) {
    const found = this.columns.find((column) => column.name === name);
    if (!found) throw new InvalidData(noSuchColumn(name, this.columns.map((column) => column.name)));
    return found;
  }

  /** The rows from `start` up to `end`. */
  slice(start, end) {
    const part = (column) =>
      Series.of(column.name, column.type, Array.from({ length: end - start }, (_, row) => column.at(start + row)));
    return new Table(this.columns.map(part), end - start);
  }
}

/** Says that a column is missing. */
export function noSuchColumn(name, names) {
  const near = names.find((one) => one.toLowerCase() === name.toLowerCase());
  if (near !== undefined) return `the table has no column \`${name}\`; did you mean \`${near}\`?`;
  return `the table has no column \`${name}\`; its columns are ${names.slice(0, 40).map((one) => `\`${one}\``).join(", ")}`;
}
