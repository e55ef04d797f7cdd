#include "stagewright.h"

/* A straight line through one column, by least squares. The weights: a mark, three numbers, the feature's name. */

#include <math.h>

static const char MARK[] = "line 1\n";

struct sw_loaded {
  sw_field feature;
  size_t place;
  double slope, x_mean, y_mean;
};

static size_t sw_describe(sw_stage stages[2]) {
  stages[0] = sw_stage_of(
      EXPORTS_STAGEWRIGHT_STAGE_PLUGIN_KIND_TRAINER, "Fits a straight line through one column by least squares.",
      "{\"$schema\": \"https://json-schema.org/draft/2020-12/schema\", \"type\": \"object\", \"properties\": {"
      "\"label\": {\"type\": \"string\", \"description\": \"The column to predict: a number.\"},"
      "\"feature\": {\"type\": \"string\", \"default\": \"\", \"description\": \"The column to predict it from;"
      " the first other one of float64, where this is empty.\"}},"
      "\"required\": [\"label\"], \"additionalProperties\": false}");
  stages[1] = sw_stage_of(EXPORTS_STAGEWRIGHT_STAGE_PLUGIN_KIND_PREDICTOR,
                          "Follows the line; where the feature is missing, predicts the mean.", "");
  return 2;
}

static bool sw_train(sw_reader training, sw_reader *validation, sw_string parameters, stagewright_list_u8_t *weights,
                     sw_failure *failure) {
  (void)validation;
  const char *known[] = {"label:text", "feature:text", NULL};
  if (!sw_parameters(parameters, known, failure)) return false;
  sw_fields fields = sw_schema(training);
  sw_string wanted = sw_parameter_text(parameters, "feature", "");
  int label = sw_need(&fields, sw_parameter_text(parameters, "label", ""), failure);
  if (label < 0) return false;
  int feature = wanted.len ? sw_need(&fields, wanted, failure) : -1;
  if (wanted.len && feature < 0) return false;
  for (size_t place = 0; feature < 0 && place < fields.len; place++)
    if (fields.ptr[place].type == SW_FLOAT64 && (int)place != label) feature = (int)place;
  if (feature < 0 || !sw_is_numeric(fields.ptr[feature].type))
    return sw_invalid_data(failure, sw_text("there is no column of numbers to predict from"));
  if (!sw_is_numeric(fields.ptr[label].type))
    return sw_invalid_data(failure, sw_print("the label `%.*s` holds words; a line needs a number",
                                             SW_SHOW(fields.ptr[label].name)));

  double count = 0, x_mean = 0, y_mean = 0, xx = 0, xy = 0;
  uint32_t columns[2] = {(uint32_t)feature, (uint32_t)label};
  sw_batch batch;
  int more;
  while ((more = sw_next(training, columns, 2, &batch, failure)) > 0) {
    for (size_t row = 0; row < batch.rows; row++) {
      double x = sw_number(&fields.ptr[feature], &batch.columns.ptr[0], row);
      double y = sw_number(&fields.ptr[label], &batch.columns.ptr[1], row);
      if (!isfinite(x) || !isfinite(y)) continue;
      double step = x - x_mean;
      count++;
      x_mean += step / count;
      y_mean += (y - y_mean) / count;
      xx += step * (x - x_mean);
      xy += step * (y - y_mean);
    }
    sw_batch_free(&batch);
  }
  if (more < 0) return false;
  if (count == 0)
    return sw_invalid_data(failure, sw_print("no row has both `%.*s` and `%.*s`", SW_SHOW(fields.ptr[feature].name),
                                             SW_SHOW(fields.ptr[label].name)));
  double numbers[3] = {xx > 0 ? xy / xx : 0, x_mean, y_mean};
  sw_string name = fields.ptr[feature].name;
  size_t mark = sizeof MARK - 1;
  *weights = sw_new_state(mark + sizeof numbers + name.len);
  memcpy(weights->ptr, MARK, mark);
  memcpy(weights->ptr + mark, numbers, sizeof numbers);
  memcpy(weights->ptr + mark + sizeof numbers, name.ptr, name.len);
  sw_seal(weights);
  return true;
}

static bool sw_load(stagewright_list_u8_t saved, sw_fields fields, sw_loaded **result, sw_failure *failure) {
  double numbers[3];
  size_t mark = sizeof MARK - 1, head = mark + sizeof numbers;
  if (!sw_unseal(&saved) || saved.len <= head || memcmp(saved.ptr, MARK, mark) != 0)
    return sw_invalid_state(failure, sw_text("these are no weights of this plugin"));
  memcpy(numbers, saved.ptr + mark, sizeof numbers);
  sw_string name = sw_copy((const char *)saved.ptr + head, saved.len - head);
  int place = sw_find(&fields, name);
  if (place < 0 || !sw_is_numeric(fields.ptr[place].type))
    return sw_invalid_data(failure, sw_print("the rows need a column `%.*s` of numbers", SW_SHOW(name)));
  sw_loaded *loaded = *result = sw_new(1, sizeof *loaded);
  *loaded = (sw_loaded){fields.ptr[place], (size_t)place, numbers[0], numbers[1], numbers[2]};
  return true;
}

static sw_fields sw_loaded_input(const sw_loaded *loaded) {
  sw_fields fields = sw_new_fields(1);
  fields.ptr[0] = sw_field_copy(&loaded->feature);
  return fields;
}

static sw_fields sw_loaded_schema(const sw_loaded *loaded) {
  (void)loaded;
  sw_fields fields = sw_new_fields(1);
  fields.ptr[0] = (sw_field){sw_text("prediction"), SW_FLOAT64, false};
  return fields;
}

static bool sw_apply(const sw_loaded *loaded, const sw_batch *rows, sw_batch *result, sw_failure *failure) {
  (void)failure;
  *result = sw_new_batch(rows->rows, 1);
  result->columns.ptr[0] = sw_new_floats(rows->rows);
  double *values = sw_floats_of(&result->columns.ptr[0]);
  for (size_t row = 0; row < rows->rows; row++) {
    double x = sw_number(&loaded->feature, &rows->columns.ptr[loaded->place], row);
    values[row] = isfinite(x) ? loaded->y_mean + loaded->slope * (x - loaded->x_mean) : loaded->y_mean;
  }
  return true;
}
