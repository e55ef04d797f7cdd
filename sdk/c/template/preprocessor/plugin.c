#include "stagewright.h"

/* Moves numbers that lie outside of a range to its nearer end. */

static size_t sw_describe(sw_stage stages[2]) {
  stages[0] = sw_stage_of(
      EXPORTS_STAGEWRIGHT_STAGE_PLUGIN_KIND_PREPROCESSOR,
      "Moves numbers that lie outside of a range to its nearer end.",
      "{\"$schema\": \"https://json-schema.org/draft/2020-12/schema\", \"type\": \"object\", \"properties\": {"
      "\"low\": {\"type\": [\"number\", \"null\"], \"default\": null,"
      " \"description\": \"The smallest value that stays as it is; none, if absent.\"},"
      "\"high\": {\"type\": [\"number\", \"null\"], \"default\": null,"
      " \"description\": \"The largest value that stays as it is; none, if absent.\"},"
      "\"column\": {\"type\": \"string\", \"default\": \"\","
      " \"description\": \"Which column of float64; all of them, where this is empty.\"}},"
      "\"additionalProperties\": false}");
  sw_one_table(&stages[0]);
  return 1;
}

static void clip(double *values, size_t rows, double low, double high) {
  /* What is not a number stays so. */
  for (size_t row = 0; row < rows; row++) values[row] = values[row] < low ? low : values[row] > high ? high : values[row];
}

static bool sw_prepare(sw_inputs inputs, sw_outputs outputs, sw_string parameters, sw_failure *failure) {
  const char *known[] = {"low:number?", "high:number?", "column:text", NULL};
  if (!sw_parameters(parameters, known, failure)) return false;
  double low = sw_parameter_number(parameters, "low", -__builtin_inf());
  double high = sw_parameter_number(parameters, "high", __builtin_inf());
  sw_string column = sw_parameter_text(parameters, "column", "");
  if (low > high) return sw_invalid_parameter(failure, sw_print("`low` (%g) is above `high` (%g)", low, high));

  sw_reader reader = inputs.ptr[0].table;
  sw_writer writer = outputs.ptr[0].table;
  sw_fields fields = sw_schema(reader);
  if (column.len && sw_need(&fields, column, failure) < 0) return false;
  if (!sw_start(writer, &fields, failure)) return false;
  sw_batch batch;
  int more;
  while ((more = sw_next(reader, NULL, 0, &batch, failure)) > 0) {
    for (size_t place = 0; place < fields.len; place++)
      if (fields.ptr[place].type == SW_FLOAT64 && (!column.len || sw_same(column, fields.ptr[place].name)))
        clip(sw_floats_of(&batch.columns.ptr[place]), batch.rows, low, high);
    if (!sw_write(writer, &batch, failure)) return false;
    sw_batch_free(&batch);
  }
  return more == 0;
}
