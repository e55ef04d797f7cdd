/* Write a Stagewright stage in C.
 *
 * A plugin includes this header once, implements `sw_describe` and the function of its kind, and is built by
 * `stagewright plugin build`, which writes the bindings beneath (stagewright_bindings.h) from the contract.
 *
 * Memory: a batch that was read belongs to the reader's caller and is freed with `sw_batch_free`; what is returned to
 * the host is freed by the bindings, so it must come from malloc. The sandbox ends with the stage: a plugin that frees
 * nothing leaks nothing, but may reach its memory limit.
 */
#ifndef STAGEWRIGHT_H
#define STAGEWRIGHT_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stagewright_bindings.h"

typedef stagewright_string_t sw_string;
typedef stagewright_stage_tables_field_t sw_field;
typedef stagewright_stage_tables_column_t sw_column;
typedef stagewright_stage_tables_batch_t sw_batch;
typedef stagewright_stage_datasets_list_field_t sw_fields;
typedef stagewright_stage_failures_failure_t sw_failure;
typedef stagewright_stage_datasets_own_reader_t sw_reader;
typedef stagewright_stage_datasets_own_writer_t sw_writer;
typedef stagewright_stage_models_own_model_t sw_model;

enum { SW_BOOLEAN, SW_INT64, SW_FLOAT64, SW_TIMESTAMP, SW_TEXT, SW_CATEGORY };

/* ---- text and memory ---- */

/* Memory or the end: a stage that has none left cannot say so either. */
static inline void *sw_new(size_t count, size_t size) {
  void *memory = calloc(count ? count : 1, size ? size : 1);
  if (!memory) abort();
  return memory;
}

static inline sw_string sw_copy(const char *text, size_t length) {
  sw_string string = {sw_new(length, 1), length};
  memcpy(string.ptr, text, length);
  return string;
}

static inline sw_string sw_text(const char *text) { return sw_copy(text, strlen(text)); }

__attribute__((format(printf, 1, 2))) static inline sw_string sw_print(const char *format, ...) {
  char buffer[1024];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(buffer, sizeof buffer, format, arguments);
  va_end(arguments);
  if (length < 0) length = 0;
  return sw_copy(buffer, (size_t)length < sizeof buffer ? (size_t)length : sizeof buffer - 1);
}

static inline bool sw_same(sw_string left, sw_string right) {
  return left.len == right.len && memcmp(left.ptr, right.ptr, left.len) == 0;
}

static inline bool sw_is(sw_string left, const char *right) {
  return left.len == strlen(right) && memcmp(left.ptr, right, left.len) == 0;
}

/* For printf's `%.*s`. */
#define SW_SHOW(string) (int)(string).len, (const char *)(string).ptr

/* ---- saying no: each returns false, so that a stage can `return sw_invalid_data(..)` ---- */

#define SW_FAIL(name, tag_)                                                                  \
  static inline bool name(sw_failure *failure, sw_string message) {                          \
    failure->tag = tag_;                                                                     \
    failure->val.internal = message;                                                         \
    return false;                                                                            \
  }
/* The pipeline's author must mend a parameter. */
SW_FAIL(sw_invalid_parameter, STAGEWRIGHT_STAGE_FAILURES_FAILURE_INVALID_PARAMETER)
/* Whoever made the data must mend it. */
SW_FAIL(sw_invalid_data, STAGEWRIGHT_STAGE_FAILURES_FAILURE_INVALID_DATA)
/* The saved state or weights are not what this plugin wrote. */
SW_FAIL(sw_invalid_state, STAGEWRIGHT_STAGE_FAILURES_FAILURE_INVALID_STATE)
/* The plugin's author must mend the plugin. */
SW_FAIL(sw_internal, STAGEWRIGHT_STAGE_FAILURES_FAILURE_INTERNAL)
#undef SW_FAIL

/* ---- columns ---- */

/* Whether a row has a value. */
static inline bool sw_has(const sw_column *column, size_t row) {
  return !column->validity.is_some || (column->validity.val.ptr[row >> 3] >> (row & 7) & 1);
}

/* The values of a column of float64, where they lie. */
static inline const double *sw_floats(const sw_column *column) { return (const double *)column->values.ptr; }

/* The values of a column of int64 or timestamp, where they lie. */
static inline const int64_t *sw_ints(const sw_column *column) { return (const int64_t *)column->values.ptr; }

static inline bool sw_boolean(const sw_column *column, size_t row) { return column->values.ptr[row >> 3] >> (row & 7) & 1; }

static inline bool sw_is_numeric(uint8_t type) { return type != SW_TEXT && type != SW_CATEGORY; }

/* The value of a row of a numeric column as a number: NaN where it has none. */
static inline double sw_number(const sw_field *field, const sw_column *column, size_t row) {
  if (!sw_has(column, row)) return __builtin_nan("");
  if (field->type == SW_FLOAT64) return sw_floats(column)[row];
  if (field->type == SW_BOOLEAN) return sw_boolean(column, row);
  return (double)sw_ints(column)[row];
}

/* The word of a row of text or category, where it lies; empty where the row has none. */
static inline sw_string sw_word(const sw_field *field, const sw_column *column, size_t row) {
  if (!sw_has(column, row)) return (sw_string){(uint8_t *)"", 0};
  if (field->type == SW_CATEGORY) return column->words.val.ptr[((const uint32_t *)column->values.ptr)[row]];
  const uint32_t *offsets = (const uint32_t *)column->offsets.val.ptr;
  return (sw_string){column->values.ptr + offsets[row], offsets[row + 1] - offsets[row]};
}

/* The value of a row as people write it. Words are not copied; what else is written lies in `space`. */
static inline sw_string sw_shown(const sw_field *field, const sw_column *column, size_t row, char space[32]) {
  if (!sw_is_numeric(field->type)) return sw_word(field, column, row);
  int length;
  if (field->type == SW_FLOAT64) length = snprintf(space, 32, "%.17g", sw_floats(column)[row]);
  else if (field->type == SW_BOOLEAN) length = snprintf(space, 32, "%s", sw_boolean(column, row) ? "true" : "false");
  else length = snprintf(space, 32, "%lld", (long long)sw_ints(column)[row]);
  return (sw_string){(uint8_t *)space, (size_t)length};
}

/* The number of rows without a value. */
static inline size_t sw_missing(const sw_column *column, size_t rows) {
  size_t missing = 0;
  for (size_t row = 0; row < rows; row++) missing += !sw_has(column, row);
  return missing;
}

static inline size_t sw_bits(size_t rows) { return (rows + 7) / 8; }

static inline stagewright_list_u8_t sw_bytes(const void *from, size_t length) {
  stagewright_list_u8_t list = {sw_new(length, 1), length};
  if (length) memcpy(list.ptr, from, length);
  return list;
}

/* A column of float64, to be filled through `sw_floats_of`. Every row has a value. */
static inline sw_column sw_new_floats(size_t rows) {
  sw_column column = {0};
  column.values = (stagewright_list_u8_t){sw_new(rows, 8), rows * 8};
  return column;
}

static inline double *sw_floats_of(sw_column *column) { return (double *)column->values.ptr; }

/* A copy of a column, in memory of its own. */
static inline sw_column sw_column_copy(const sw_column *from) {
  sw_column column = {0};
  column.values = sw_bytes(from->values.ptr, from->values.len);
  if (from->validity.is_some) column.validity.is_some = true, column.validity.val = sw_bytes(from->validity.val.ptr, from->validity.val.len);
  if (from->offsets.is_some) column.offsets.is_some = true, column.offsets.val = sw_bytes(from->offsets.val.ptr, from->offsets.val.len);
  if (from->words.is_some) {
    size_t count = from->words.val.len;
    column.words.is_some = true;
    column.words.val.ptr = sw_new(count, sizeof(sw_string));
    column.words.val.len = count;
    for (size_t word = 0; word < count; word++)
      column.words.val.ptr[word] = sw_copy((const char *)from->words.val.ptr[word].ptr, from->words.val.ptr[word].len);
  }
  return column;
}

/* ---- schemas ---- */

static inline sw_fields sw_new_fields(size_t count) { return (sw_fields){sw_new(count, sizeof(sw_field)), count}; }

static inline sw_field sw_field_copy(const sw_field *from) {
  return (sw_field){sw_copy((const char *)from->name.ptr, from->name.len), from->type, from->nullable};
}

static inline sw_fields sw_fields_copy(const sw_fields *from) {
  sw_fields fields = sw_new_fields(from->len);
  for (size_t place = 0; place < from->len; place++) fields.ptr[place] = sw_field_copy(&from->ptr[place]);
  return fields;
}

/* The place of a column, or -1. */
static inline int sw_find(const sw_fields *fields, sw_string name) {
  for (size_t place = 0; place < fields->len; place++)
    if (sw_same(fields->ptr[place].name, name)) return (int)place;
  return -1;
}

/* The place of a column that must be there, or -1 and a failure that names it. */
static inline int sw_need(const sw_fields *fields, sw_string name, sw_failure *failure) {
  int place = sw_find(fields, name);
  if (place < 0) sw_invalid_data(failure, sw_print("the table has no column `%.*s`", SW_SHOW(name)));
  return place;
}

/* ---- tables ---- */

#define SW_ROWS_AT_A_TIME 65536

static inline sw_fields sw_schema(sw_reader reader) {
  sw_fields fields;
  stagewright_stage_datasets_method_reader_schema(stagewright_stage_datasets_borrow_reader(reader), &fields);
  return fields;
}

static inline uint64_t sw_rows(sw_reader reader) {
  return stagewright_stage_datasets_method_reader_rows(stagewright_stage_datasets_borrow_reader(reader));
}

static inline void sw_rewind(sw_reader reader) {
  stagewright_stage_datasets_method_reader_rewind(stagewright_stage_datasets_borrow_reader(reader));
}

/* Some further rows of `count` columns (all, if none): 1 and a batch, 0 at the end, -1 and a failure. */
static inline int sw_next(sw_reader reader, uint32_t *columns, size_t count, sw_batch *batch, sw_failure *failure) {
  stagewright_list_u32_t chosen = {columns, count};
  stagewright_stage_datasets_option_batch_t next = {0};
  bool ok = stagewright_stage_datasets_method_reader_next(stagewright_stage_datasets_borrow_reader(reader), &chosen,
                                                          SW_ROWS_AT_A_TIME, &next, failure);
  if (!ok) return -1;
  if (!next.is_some) return 0;
  *batch = next.val;
  return 1;
}

static inline void sw_batch_free(sw_batch *batch) { stagewright_stage_tables_batch_free(batch); }

static inline sw_batch sw_new_batch(uint32_t rows, size_t columns) {
  sw_batch batch = {0};
  batch.rows = rows;
  batch.columns.ptr = sw_new(columns, sizeof(sw_column));
  batch.columns.len = columns;
  return batch;
}

/* Says which columns follow. Must be called, even where no rows follow. */
static inline bool sw_start(sw_writer writer, sw_fields *fields, sw_failure *failure) {
  return stagewright_stage_datasets_method_writer_start(stagewright_stage_datasets_borrow_writer(writer), fields, failure);
}

/* Adds rows; at most 16 MiB at once, which a batch that was read always keeps. */
static inline bool sw_write(sw_writer writer, sw_batch *batch, sw_failure *failure) {
  return stagewright_stage_datasets_method_writer_write(stagewright_stage_datasets_borrow_writer(writer), batch, failure);
}

/* ---- the model behind a handle ---- */

static inline sw_fields sw_model_input(sw_model model) {
  sw_fields fields;
  stagewright_stage_models_list_field_t found;
  stagewright_stage_models_method_model_input(stagewright_stage_models_borrow_model(model), &found);
  memcpy(&fields, &found, sizeof fields);
  return fields;
}

static inline sw_fields sw_model_schema(sw_model model) {
  sw_fields fields;
  stagewright_stage_models_list_field_t found;
  stagewright_stage_models_method_model_schema(stagewright_stage_models_borrow_model(model), &found);
  memcpy(&fields, &found, sizeof fields);
  return fields;
}

/* Predictions for rows that have exactly the columns of `sw_model_input`. */
static inline bool sw_predict(sw_model model, sw_batch *rows, sw_batch *predictions, sw_failure *failure) {
  return stagewright_stage_models_method_model_predict(stagewright_stage_models_borrow_model(model), rows, predictions,
                                                       failure);
}

/* ---- the world ---- */

enum { SW_DEBUG, SW_INFO, SW_WARN, SW_ERROR };

static inline void sw_log(uint8_t level, sw_string message) { stagewright_stage_context_log(level, &message); }
static inline void sw_progress(uint64_t done, uint64_t total) { stagewright_stage_context_progress(done, total); }
static inline uint64_t sw_seed(void) { return stagewright_stage_context_seed(); }
static inline bool sw_cancelled(void) { return stagewright_stage_context_cancelled(); }

/* ---- parameters: a JSON object, which the host has checked against the schema ---- */

static inline const char *sw_json_space(const char *at, const char *end) {
  while (at < end && strchr(" \t\r\n", *at)) at++;
  return at;
}

static inline const char *sw_json_skip(const char *at, const char *end) {
  at = sw_json_space(at, end);
  int depth = 0;
  for (bool quoted = false; at < end; at++) {
    if (quoted) {
      if (*at == '\\') at++;
      else if (*at == '"') quoted = false;
    } else if (*at == '"') quoted = true;
    else if (*at == '[' || *at == '{') depth++;
    else if (*at == ']' || *at == '}') {
      if (depth-- == 0) return at;
    } else if (depth == 0 && (*at == ',' || *at == ':')) return at;
  }
  return at < end ? at : end;
}

/* Where the value of a property begins, or NULL. */
static inline const char *sw_json_find(sw_string json, const char *name) {
  const char *at = (const char *)json.ptr, *end = at + json.len;
  at = sw_json_space(at, end);
  if (at == end || *at != '{') return NULL;
  at++;
  for (size_t length = strlen(name);;) {
    at = sw_json_space(at, end);
    if (at >= end || *at != '"') return NULL;
    bool found = (size_t)(end - at) > length + 1 && memcmp(at + 1, name, length) == 0 && at[length + 1] == '"';
    at = sw_json_skip(at, end);
    if (at >= end || *at != ':') return NULL;
    if (found) return sw_json_space(at + 1, end);
    at = sw_json_skip(at + 1, end);
    if (at >= end || *at != ',') return NULL;
    at++;
  }
}

/* A number, or `fallback` where there is none. */
static inline double sw_parameter_number(sw_string json, const char *name, double fallback) {
  const char *at = sw_json_find(json, name), *end = (const char *)json.ptr + json.len;
  char text[64] = {0};
  for (size_t length = 0; at && at < end && length < 63 && strchr("+-.0123456789eE", *at); length++) text[length] = *at++;
  char *rest = text;
  double number = strtod(text, &rest);
  return rest == text ? fallback : number;
}

/* Text, or `fallback` where there is none. */
static inline sw_string sw_parameter_text(sw_string json, const char *name, const char *fallback) {
  const char *at = sw_json_find(json, name), *end = (const char *)json.ptr + json.len;
  if (!at || *at != '"') return sw_text(fallback);
  sw_string text = {sw_new((size_t)(end - at), 1), 0};
  for (at++; at < end && *at != '"'; at++) {
    unsigned code = (unsigned char)*at;
    if (code == '\\' && at + 1 < end) {
      code = (unsigned char)*++at;
      if (code == 'n') code = '\n';
      else if (code == 't') code = '\t';
      else if (code == 'r') code = '\r';
      else if (code == 'b') code = '\b';
      else if (code == 'f') code = '\f';
      else if (code == 'u' && end - at > 4) {
        char digits[5] = {at[1], at[2], at[3], at[4], 0};
        code = (unsigned)strtoul(digits, NULL, 16);
        at += 4;
        if (code >= 0xd800 && code < 0xdc00 && end - at > 6) {
          char low[5] = {at[3], at[4], at[5], at[6], 0};
          code = 0x10000 + ((code - 0xd800) << 10) + ((unsigned)strtoul(low, NULL, 16) - 0xdc00);
          at += 6;
        }
        if (code >= 0x10000) {
          text.ptr[text.len++] = (uint8_t)(0xf0 | code >> 18);
          text.ptr[text.len++] = (uint8_t)(0x80 | (code >> 12 & 0x3f));
        } else if (code >= 0x800) text.ptr[text.len++] = (uint8_t)(0xe0 | code >> 12);
        if (code >= 0x800) text.ptr[text.len++] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
        else if (code >= 0x80) text.ptr[text.len++] = (uint8_t)(0xc0 | code >> 6);
        if (code >= 0x80) code = 0x80 | (code & 0x3f);
      }
    }
    text.ptr[text.len++] = (uint8_t)code;
  }
  return text;
}

/* Whether a value begins as its type does: "number", "text" or "boolean"; with a `?` at the end, null will do. */
static inline bool sw_json_fits(const char *value, const char *end, const char *type) {
  if (value >= end) return false;
  if (*value == 'n') return type[strlen(type) - 1] == '?';
  if (*type == 't') return *value == '"';
  if (*type == 'b') return *value == 't' || *value == 'f';
  return *value == '-' || (*value >= '0' && *value <= '9');
}

/* Checks that there is nothing but the parameters in `known` ("NAME:TYPE", the last NULL), each of its type. */
static inline bool sw_parameters(sw_string json, const char *const *known, sw_failure *failure) {
  const char *end = (const char *)json.ptr + json.len, *at = sw_json_space((const char *)json.ptr, end);
  if (at == end) return true;
  if (*at != '{') return sw_invalid_parameter(failure, sw_text("the parameters are not a JSON object"));
  for (at = sw_json_space(at + 1, end); at < end && *at == '"';) {
    sw_string name = {(uint8_t *)at + 1, 0};
    at = sw_json_skip(at, end);
    while ((const char *)name.ptr + name.len < at && name.ptr[name.len] != '"') name.len++;
    const char *value = at < end ? sw_json_space(at + 1, end) : end, *type = NULL;
    for (const char *const *one = known; *one && !type; one++) {
      const char *colon = strchr(*one, ':');
      if (name.len == (size_t)(colon - *one) && memcmp(name.ptr, *one, name.len) == 0) type = colon + 1;
    }
    if (!type) return sw_invalid_parameter(failure, sw_print("unknown parameter `%.*s`", SW_SHOW(name)));
    if (!sw_json_fits(value, end, type))
      return sw_invalid_parameter(failure, sw_print("`%.*s` must be a %s", SW_SHOW(name), type));
    at = sw_json_skip(value, end);
    at = at < end ? sw_json_space(at + 1, end) : end;
  }
  return true;
}

/* ---- states and weights: bytes with a checksum behind them, so that damage is noticed ---- */

static inline uint64_t sw_checksum(const uint8_t *bytes, size_t length) {
  uint64_t sum = 0xcbf29ce484222325;
  for (size_t place = 0; place < length; place++) sum = (sum ^ bytes[place]) * 0x100000001b3;
  return sum;
}

/* Room for `length` bytes and their checksum, which `sw_seal` writes once the bytes stand. */
static inline stagewright_list_u8_t sw_new_state(size_t length) {
  return (stagewright_list_u8_t){sw_new(length + 8, 1), length + 8};
}

static inline void sw_seal(stagewright_list_u8_t *state) {
  uint64_t sum = sw_checksum(state->ptr, state->len - 8);
  memcpy(state->ptr + state->len - 8, &sum, 8);
}

/* Takes the checksum off, if it is right. */
static inline bool sw_unseal(stagewright_list_u8_t *state) {
  uint64_t sum;
  if (state->len < 8) return false;
  memcpy(&sum, state->ptr + state->len - 8, 8);
  state->len -= 8;
  return sum == sw_checksum(state->ptr, state->len);
}

/* ---- saying who one is ---- */

typedef exports_stagewright_stage_plugin_stage_t sw_stage;
typedef exports_stagewright_stage_plugin_list_stage_t sw_stages;

/* Describes one stage. `parameters` is its JSON Schema, or "". */
static inline sw_stage sw_stage_of(uint8_t kind, const char *doc, const char *parameters) {
  sw_stage stage = {0};
  stage.kind = kind;
  stage.doc = sw_text(doc);
  stage.parameters = sw_text(parameters);
  stage.inputs.ptr = stage.outputs.ptr = sw_new(1, sizeof(exports_stagewright_stage_plugin_port_t));
  return stage;
}

/* The usual ports of a preprocessor: one table in, one out. */
static inline void sw_one_table(sw_stage *stage) {
  stage->inputs.ptr = sw_new(1, sizeof(exports_stagewright_stage_plugin_port_t));
  stage->outputs.ptr = sw_new(1, sizeof(exports_stagewright_stage_plugin_port_t));
  stage->inputs.len = stage->outputs.len = 1;
  stage->inputs.ptr[0] = (exports_stagewright_stage_plugin_port_t){sw_text("table"), sw_text("The rows to work on."), false};
  stage->outputs.ptr[0] = (exports_stagewright_stage_plugin_port_t){sw_text("table"), sw_text("The rows that were worked on."), false};
}

/* The plugin implements this: fills `stages` (room for two) and returns how many there are. */
static size_t sw_describe(sw_stage stages[2]);

void exports_stagewright_stage_plugin_describe(sw_stages *result) {
  result->ptr = sw_new(2, sizeof(sw_stage));
  result->len = sw_describe(result->ptr);
}

#if defined(STAGEWRIGHT_EVALUATOR) || defined(STAGEWRIGHT_FAIRNESS_CHECKER) || defined(STAGEWRIGHT_VALIDATOR) || \
    defined(STAGEWRIGHT_MONITOR)
#include "stagewright_report.h"
#endif

#include "stagewright_kinds.h"

#endif
