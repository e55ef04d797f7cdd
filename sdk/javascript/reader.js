import { InvalidData } from "./failures.js";
import { Table, noSuchColumn } from "./table.js";

const ROWS_AT_A_TIME = 65_536;

/** A table to read; here one in memory, for tests. In the sandbox the host's takes its place. */
export class Reader {
  #table;
  #done = false;

  constructor(table) {
    this.#table = table;
    this.fields = table.fields;
    this.rows = table.rows;
  }

  next(places) {
    if (this.#done || this.#table.rows === 0) return undefined;
    this.#done = true;
    return new Table(places.map((place) => this.#table.columns[place]), this.#table.rows);
  }

  rewind() {
    this.#done = false;
  }

  /** A column's name and type. */
  field(name) {
    const found = this.fields.find((field) => field.name === name);
    if (!found) throw new InvalidData(noSuchColumn(name, this.fields.map((field) => field.name)));
    return found;
  }

  /** The table from its first row, in pieces, of the named columns (all, if none is named). */
  *batches(columns = [], rows = ROWS_AT_A_TIME) {
    const chosen = columns.map((name) => this.fields.indexOf(this.field(name)));
    const places = columns.length ? chosen : this.fields.map((_, place) => place);
    this.rewind();
    for (let table = this.next(places, rows); table !== undefined; table = this.next(places, rows)) yield table;
  }
}

/** A table to write; here one in memory, for tests. */
export class Writer {
  tables = [];

  /** Says which columns follow. Must be called, even where no rows follow. */
  start(fields) {
    this.fields = fields;
  }

  /** Adds rows. */
  write(table) {
    this.tables.push(table);
  }
}
