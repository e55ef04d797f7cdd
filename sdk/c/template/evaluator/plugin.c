#include "stagewright.h"

/* Counts how often the prediction is the label, and whether the model, asked again, says the same. */

static size_t sw_describe(sw_stage stages[2]) {
  stages[0] = sw_stage_of(
      EXPORTS_STAGEWRIGHT_STAGE_PLUGIN_KIND_EVALUATOR,
      "Counts how often the prediction is the label, and whether the model, asked again, says the same.",
      "{\"$schema\": \"https://json-schema.org/draft/2020-12/schema\", \"type\": \"object\", \"properties\": {"
      "\"label\": {\"type\": \"string\", \"description\": \"The column with the truth.\"},"
      "\"prediction\": {\"type\": \"string\", \"default\": \"prediction\","
      " \"description\": \"The column with what was predicted.\"}},"
      "\"required\": [\"label\"], \"additionalProperties\": false}");
  return 1;
}

/* How many rows say the same in two columns; `known` counts those that have a value in both. */
static size_t equal(const sw_field *one, const sw_column *left, const sw_field *other, const sw_column *right,
                    size_t rows, size_t *known) {
  size_t same = 0;
  for (size_t row = 0; row < rows; row++) {
    char first[32], second[32];
    if (!sw_has(left, row) || !sw_has(right, row)) continue;
    ++*known;
    same += sw_same(sw_shown(one, left, row, first), sw_shown(other, right, row, second));
  }
  return same;
}

static bool sw_judge(sw_reader scored, sw_model *model, sw_string parameters, sw_report *report, sw_failure *failure) {
  const char *known[] = {"label:text", "prediction:text", NULL};
  if (!sw_parameters(parameters, known, failure)) return false;
  sw_fields fields = sw_schema(scored);
  sw_string name = sw_parameter_text(parameters, "prediction", "prediction");
  int label = sw_need(&fields, sw_parameter_text(parameters, "label", ""), failure);
  int prediction = sw_need(&fields, name, failure);
  if (label < 0 || prediction < 0) return false;

  size_t rows = 0, right = 0, asked = 0, same = 0;
  sw_batch batch;
  int more;
  while ((more = sw_next(scored, NULL, 0, &batch, failure)) > 0) {
    sw_column *said = &batch.columns.ptr[prediction];
    right += equal(&fields.ptr[label], &batch.columns.ptr[label], &fields.ptr[prediction], said, batch.rows, &rows);
    /* One batch is enough to see that the scored rows are this model's. */
    if (model && !asked) {
      sw_fields input = sw_model_input(*model), schema = sw_model_schema(*model);
      sw_batch question = sw_new_batch(batch.rows, input.len), answer;
      for (size_t place = 0; place < input.len; place++) {
        int here = sw_need(&fields, input.ptr[place].name, failure);
        if (here < 0) return false;
        question.columns.ptr[place] = batch.columns.ptr[here];
      }
      if (!sw_predict(*model, &question, &answer, failure)) return false;
      int again = sw_need(&schema, name, failure);
      if (again < 0) return false;
      same = equal(&fields.ptr[prediction], said, &schema.ptr[again], &answer.columns.ptr[again], batch.rows, &asked);
    }
    sw_batch_free(&batch);
  }
  if (more < 0) return false;
  sw_report_metric(report, "accuracy", rows ? (double)right / (double)rows : __builtin_nan(""), rows, SW_WHOLE);
  if (asked) sw_report_metric(report, "agreement", (double)same / (double)asked, asked, SW_WHOLE);
  return true;
}
