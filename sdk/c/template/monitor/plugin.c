#include "stagewright.h"

/* Watches how far the mean of every numeric column has moved, in standard deviations of the reference. */

#include <math.h>

struct moments {
  double count, mean, squares;
};

static size_t sw_describe(sw_stage stages[2]) {
  stages[0] = sw_stage_of(
      EXPORTS_STAGEWRIGHT_STAGE_PLUGIN_KIND_MONITOR,
      "Watches how far the mean of every numeric column has moved, in standard deviations of the reference.",
      "{\"$schema\": \"https://json-schema.org/draft/2020-12/schema\", \"type\": \"object\", \"properties\": {"
      "\"threshold\": {\"type\": \"number\", \"default\": 0.5, \"minimum\": 0,"
      " \"description\": \"How many standard deviations a mean may move before it is worth a look.\"}},"
      "\"additionalProperties\": false}");
  return 1;
}

/* The moments of every column, in the table's order; NULL and a failure where the table cannot be read. */
static struct moments *moments_of(sw_reader reader, const sw_fields *fields, sw_failure *failure) {
  struct moments *moments = sw_new(fields->len, sizeof *moments);
  sw_batch batch;
  int more;
  while ((more = sw_next(reader, NULL, 0, &batch, failure)) > 0) {
    for (size_t place = 0; place < fields->len; place++) {
      if (!sw_is_numeric(fields->ptr[place].type)) continue;
      struct moments *one = &moments[place];
      for (size_t row = 0; row < batch.rows; row++) {
        double value = sw_number(&fields->ptr[place], &batch.columns.ptr[place], row);
        if (!isfinite(value)) continue;
        double step = value - one->mean;
        one->mean += step / ++one->count;
        one->squares += step * (value - one->mean);
      }
    }
    sw_batch_free(&batch);
  }
  return more < 0 ? NULL : moments;
}

static bool sw_observe(sw_reader reference, sw_reader current, sw_model *model, sw_string parameters, sw_report *report,
                       sw_failure *failure) {
  (void)model;
  const char *known[] = {"threshold:number", NULL};
  if (!sw_parameters(parameters, known, failure)) return false;
  double threshold = sw_parameter_number(parameters, "threshold", 0.5);
  sw_fields before = sw_schema(reference), after = sw_schema(current);
  struct moments *old = moments_of(reference, &before, failure);
  struct moments *new = old ? moments_of(current, &after, failure) : NULL;
  if (!new) return false;

  for (size_t place = 0; place < before.len; place++) {
    sw_string name = before.ptr[place].name;
    int here = sw_find(&after, name);
    if (here < 0 || !sw_is_numeric(before.ptr[place].type) || !sw_is_numeric(after.ptr[here].type)) continue;
    double deviation = old[place].count ? sqrt(old[place].squares / old[place].count) : 0;
    bool defined = deviation > 0 && new[here].count > 0;
    double shift = defined ? fabs(new[here].mean - old[place].mean) / deviation : __builtin_nan("");
    sw_report_metric(report, "mean-shift", shift, (uint64_t)new[here].count, "column", name);
    if (shift > threshold)
      sw_report_finding(report, SW_FINDING_WARNING,
                        sw_print("the mean of `%.*s` has moved by %.2f standard deviations", SW_SHOW(name), shift),
                        "column", name);
  }
  return true;
}
