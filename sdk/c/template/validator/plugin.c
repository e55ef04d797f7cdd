#include "stagewright.h"

/* Refuses tables with too few rows or too many missing values. */

static size_t sw_describe(sw_stage stages[2]) {
  stages[0] = sw_stage_of(
      EXPORTS_STAGEWRIGHT_STAGE_PLUGIN_KIND_VALIDATOR, "Refuses tables with too few rows or too many missing values.",
      "{\"$schema\": \"https://json-schema.org/draft/2020-12/schema\", \"type\": \"object\", \"properties\": {"
      "\"max_missing\": {\"type\": \"number\", \"default\": 0.5, \"minimum\": 0, \"maximum\": 1,"
      " \"description\": \"The largest share of rows that may lack a value, in every column.\"},"
      "\"min_rows\": {\"type\": \"integer\", \"default\": 0, \"minimum\": 0,"
      " \"description\": \"The smallest number of rows.\"}},"
      "\"additionalProperties\": false}");
  return 1;
}

static bool sw_validate(sw_reader table, sw_string parameters, sw_report *report, sw_failure *failure) {
  const char *known[] = {"max_missing:number", "min_rows:number", NULL};
  if (!sw_parameters(parameters, known, failure)) return false;
  double most = sw_parameter_number(parameters, "max_missing", 0.5);
  double least = sw_parameter_number(parameters, "min_rows", 0);

  sw_fields fields = sw_schema(table);
  size_t *missing = sw_new(fields.len, sizeof *missing);
  sw_batch batch;
  int more;
  while ((more = sw_next(table, NULL, 0, &batch, failure)) > 0) {
    for (size_t place = 0; place < fields.len; place++)
      missing[place] += sw_missing(&batch.columns.ptr[place], batch.rows);
    sw_batch_free(&batch);
  }
  if (more < 0) return false;

  uint64_t rows = sw_rows(table);
  sw_report_metric(report, "rows", (double)rows, rows, SW_WHOLE);
  if ((double)rows < least)
    sw_report_finding(report, SW_FINDING_VIOLATION,
                      sw_print("the table has %llu rows; %.0f are needed", (unsigned long long)rows, least), SW_WHOLE);
  for (size_t place = 0; place < fields.len; place++) {
    sw_string name = fields.ptr[place].name;
    double share = rows ? (double)missing[place] / (double)rows : __builtin_nan("");
    sw_report_metric(report, "missing", share, rows, "column", name);
    if (share > most)
      sw_report_finding(report, SW_FINDING_VIOLATION,
                        sw_print("`%.*s` lacks a value in %.1f%% of the rows", SW_SHOW(name), share * 100), "column",
                        name);
  }
  return true;
}
