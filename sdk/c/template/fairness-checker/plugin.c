#include "stagewright.h"

/* Compares how often each group is predicted the good outcome. */

struct group {
  sw_string name;
  size_t rows, good;
};

static size_t sw_describe(sw_stage stages[2]) {
  stages[0] = sw_stage_of(
      EXPORTS_STAGEWRIGHT_STAGE_PLUGIN_KIND_FAIRNESS_CHECKER,
      "Compares how often each group is predicted the good outcome.",
      "{\"$schema\": \"https://json-schema.org/draft/2020-12/schema\", \"type\": \"object\", \"properties\": {"
      "\"group\": {\"type\": \"string\", \"description\": \"The column that names each row's group.\"},"
      "\"positive\": {\"type\": \"string\", \"default\": \"true\","
      " \"description\": \"The prediction that is good for a person.\"},"
      "\"prediction\": {\"type\": \"string\", \"default\": \"prediction\","
      " \"description\": \"The column with what was predicted.\"},"
      "\"least\": {\"type\": \"number\", \"default\": 0.8, \"minimum\": 0, \"maximum\": 1,"
      " \"description\": \"The lowest share of the highest rate that a group's rate may have.\"}},"
      "\"required\": [\"group\"], \"additionalProperties\": false}");
  return 1;
}

static int by_name(const void *left, const void *right) {
  const struct group *one = left, *other = right;
  size_t least = one->name.len < other->name.len ? one->name.len : other->name.len;
  int order = memcmp(one->name.ptr, other->name.ptr, least);
  return order ? order : one->name.len < other->name.len ? -1 : one->name.len > other->name.len;
}

static bool sw_judge(sw_reader scored, sw_model *model, sw_string parameters, sw_report *report, sw_failure *failure) {
  (void)model;
  const char *known[] = {"group:text", "positive:text", "prediction:text", "least:number", NULL};
  if (!sw_parameters(parameters, known, failure)) return false;
  sw_fields fields = sw_schema(scored);
  sw_string positive = sw_parameter_text(parameters, "positive", "true");
  double least = sw_parameter_number(parameters, "least", 0.8);
  int group = sw_need(&fields, sw_parameter_text(parameters, "group", ""), failure);
  int prediction = sw_need(&fields, sw_parameter_text(parameters, "prediction", "prediction"), failure);
  if (group < 0 || prediction < 0) return false;

  struct group *groups = NULL;
  size_t count = 0;
  uint32_t columns[2] = {(uint32_t)group, (uint32_t)prediction};
  sw_batch batch;
  int more;
  while ((more = sw_next(scored, columns, 2, &batch, failure)) > 0) {
    for (size_t row = 0; row < batch.rows; row++) {
      char first[32], second[32];
      if (!sw_has(&batch.columns.ptr[0], row) || !sw_has(&batch.columns.ptr[1], row)) continue;
      sw_string name = sw_shown(&fields.ptr[group], &batch.columns.ptr[0], row, first);
      sw_string said = sw_shown(&fields.ptr[prediction], &batch.columns.ptr[1], row, second);
      size_t place = 0;
      while (place < count && !sw_same(groups[place].name, name)) place++;
      if (place == count) {
        groups = sw_room(groups, count, sizeof *groups);
        groups[count++] = (struct group){sw_copy((const char *)name.ptr, name.len), 0, 0};
      }
      groups[place].rows++;
      groups[place].good += sw_same(said, positive);
    }
    sw_batch_free(&batch);
  }
  if (more < 0) return false;
  if (count) qsort(groups, count, sizeof *groups, by_name);

  double highest = 0, lowest = 1;
  for (size_t place = 0; place < count; place++) {
    double rate = (double)groups[place].good / (double)groups[place].rows;
    sw_report_metric(report, "selection-rate", rate, groups[place].rows, "group", groups[place].name);
    highest = rate > highest ? rate : highest;
    lowest = rate < lowest ? rate : lowest;
  }
  sw_report_metric(report, "selection-rate-ratio", highest > 0 ? lowest / highest : __builtin_nan(""), count, SW_WHOLE);
  for (size_t place = 0; place < count; place++) {
    double ratio = (double)groups[place].good / (double)groups[place].rows / highest;
    if (ratio < least)
      sw_report_finding(report, SW_FINDING_WARNING,
                        sw_print("`%.*s` is selected at %.3f of the highest rate", SW_SHOW(groups[place].name), ratio),
                        "group", groups[place].name);
  }
  return true;
}
