#include "stagewright.h"

/* Scales every column of float64 to mean 0 and standard deviation 1; other columns pass through.
 *
 * The state is bytes: a mark, the label's name, and for each column its name, type, mean and deviation. */

#include <math.h>

static const char MARK[8] = "SCALES1\n";

struct column {
  sw_string name;
  uint8_t type;
  double mean, deviation;
};

struct sw_loaded {
  size_t count;
  struct column *columns;
  sw_string label;
  sw_fields given, taken;
};

static size_t sw_describe(sw_stage stages[2]) {
  stages[0] = sw_stage_of(
      EXPORTS_STAGEWRIGHT_STAGE_PLUGIN_KIND_FEATURIZER,
      "Scales every column of float64 to mean 0 and standard deviation 1; other columns pass through.",
      "{\"$schema\": \"https://json-schema.org/draft/2020-12/schema\", \"type\": \"object\", \"properties\": {"
      "\"label\": {\"type\": \"string\", \"default\": \"\", \"description\": \"The column that is not a feature.\"}},"
      "\"additionalProperties\": false}");
  return 1;
}

static uint8_t *put(uint8_t *at, const void *from, size_t length) {
  memcpy(at, from, length);
  return at + length;
}

static bool sw_fit(sw_reader training, sw_string parameters, stagewright_list_u8_t *state, sw_failure *failure) {
  const char *known[] = {"label:text", NULL};
  if (!sw_parameters(parameters, known, failure)) return false;
  sw_string label = sw_parameter_text(parameters, "label", "");
  sw_fields fields = sw_schema(training);
  double *count = sw_new(fields.len, 8), *mean = sw_new(fields.len, 8), *squares = sw_new(fields.len, 8);
  sw_batch batch;
  int more;
  while ((more = sw_next(training, NULL, 0, &batch, failure)) > 0) {
    for (size_t place = 0; place < fields.len; place++) {
      if (fields.ptr[place].type != SW_FLOAT64 || sw_same(fields.ptr[place].name, label)) continue;
      const double *values = sw_floats(&batch.columns.ptr[place]);
      for (size_t row = 0; row < batch.rows; row++) {
        if (!sw_has(&batch.columns.ptr[place], row) || !isfinite(values[row])) continue;
        /* Welford's: no cancellation, whatever the size of the values. */
        double step = values[row] - mean[place];
        mean[place] += step / ++count[place];
        squares[place] += step * (values[row] - mean[place]);
      }
    }
    sw_batch_free(&batch);
  }
  if (more < 0) return false;

  size_t size = sizeof MARK + 4 + label.len + 4;
  for (size_t place = 0; place < fields.len; place++) size += 4 + fields.ptr[place].name.len + 1 + 16;
  *state = sw_new_state(size);
  uint8_t *at = state->ptr;
  uint32_t length = (uint32_t)label.len, columns = (uint32_t)fields.len;
  at = put(put(put(put(at, MARK, sizeof MARK), &length, 4), label.ptr, label.len), &columns, 4);
  for (size_t place = 0; place < fields.len; place++) {
    sw_field *field = &fields.ptr[place];
    bool scaled = field->type == SW_FLOAT64 && !sw_same(field->name, label);
    double deviation = scaled && squares[place] > 0 ? sqrt(squares[place] / count[place]) : scaled ? 1 : 0;
    length = (uint32_t)field->name.len;
    at = put(put(put(at, &length, 4), field->name.ptr, length), &field->type, 1);
    at = put(put(at, &mean[place], 8), &deviation, 8);
  }
  sw_seal(state);
  return true;
}

/* Reads from a state, or notes that it is too short. */
static void take(stagewright_list_u8_t *from, void *to, size_t length, bool *ok) {
  if (!*ok || from->len < length) {
    *ok = false;
    return;
  }
  memcpy(to, from->ptr, length);
  from->ptr += length, from->len -= length;
}

static sw_string take_text(stagewright_list_u8_t *from, bool *ok) {
  uint32_t length = 0;
  take(from, &length, 4, ok);
  sw_string text = {NULL, *ok && length <= from->len ? length : 0};
  *ok &= length == text.len;
  text.ptr = sw_new(text.len, 1);
  take(from, text.ptr, text.len, ok);
  return text;
}

static bool sw_load(stagewright_list_u8_t saved, sw_fields fields, sw_loaded **result, sw_failure *failure) {
  sw_loaded *loaded = *result = sw_new(1, sizeof *loaded);
  char mark[sizeof MARK];
  uint32_t count = 0;
  bool ok = sw_unseal(&saved);
  take(&saved, mark, sizeof mark, &ok);
  ok = ok && memcmp(mark, MARK, sizeof mark) == 0;
  loaded->label = take_text(&saved, &ok);
  take(&saved, &count, 4, &ok);
  if (!ok || count > saved.len) return sw_invalid_state(failure, sw_text("this is no state of this plugin"));
  loaded->given = fields;
  loaded->columns = sw_new(count, sizeof(struct column));
  loaded->taken = sw_new_fields(count);
  loaded->taken.len = 0;
  for (uint32_t place = 0; place < count; place++) {
    struct column *column = &loaded->columns[loaded->count];
    column->name = take_text(&saved, &ok);
    take(&saved, &column->type, 1, &ok);
    take(&saved, &column->mean, 8, &ok);
    take(&saved, &column->deviation, 8, &ok);
    if (!ok) return sw_invalid_state(failure, sw_text("this is no state of this plugin: it ends too early"));
    int here = sw_find(&fields, column->name);
    if (here >= 0 && fields.ptr[here].type == column->type) {
      loaded->taken.ptr[loaded->taken.len++] = fields.ptr[here];
      loaded->count++;
    } else if (here >= 0 || !sw_same(column->name, loaded->label)) {
      return sw_invalid_data(failure, sw_print("the rows need a column `%.*s` as in training", SW_SHOW(column->name)));
    }
  }
  if (saved.len) return sw_invalid_state(failure, sw_text("this is no state of this plugin: something follows it"));
  return true;
}

static sw_fields sw_loaded_input(const sw_loaded *loaded) {
  sw_fields fields = sw_new_fields(loaded->taken.len);
  fields.len = 0;
  for (size_t place = 0; place < loaded->taken.len; place++)
    if (!sw_same(loaded->taken.ptr[place].name, loaded->label))
      fields.ptr[fields.len++] = sw_field_copy(&loaded->taken.ptr[place]);
  return fields;
}

static sw_fields sw_loaded_schema(const sw_loaded *loaded) { return sw_fields_copy(&loaded->taken); }

static bool sw_apply(const sw_loaded *loaded, const sw_batch *rows, sw_batch *result, sw_failure *failure) {
  (void)failure;
  *result = sw_new_batch(rows->rows, loaded->count);
  for (size_t place = 0; place < loaded->count; place++) {
    const struct column *column = &loaded->columns[place];
    int here = sw_find(&loaded->given, column->name);
    sw_column *made = &result->columns.ptr[place];
    *made = sw_column_copy(&rows->columns.ptr[here]);
    if (column->deviation == 0) continue;
    double *values = sw_floats_of(made);
    for (size_t row = 0; row < rows->rows; row++) values[row] = (values[row] - column->mean) / column->deviation;
  }
  return true;
}
