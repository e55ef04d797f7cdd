/* Reports. Included by stagewright.h for the kinds that return one. */
#ifndef STAGEWRIGHT_REPORT_H
#define STAGEWRIGHT_REPORT_H

typedef stagewright_stage_reports_report_t sw_report;
typedef stagewright_stage_reports_metric_t sw_metric;

enum { SW_FINDING_INFO, SW_FINDING_WARNING, SW_FINDING_VIOLATION };

static inline stagewright_stage_reports_list_label_t sw_labels(const char *name, sw_string value) {
  stagewright_stage_reports_list_label_t labels = {sw_new(1, sizeof(stagewright_stage_reports_label_t)), 0};
  if (!name) return labels;
  labels.len = 1;
  labels.ptr[0] = (stagewright_stage_reports_label_t){sw_text(name), sw_copy((const char *)value.ptr, value.len)};
  return labels;
}

/* Makes room for one more, doubling as it fills. */
static inline void *sw_room(void *list, size_t length, size_t size) {
  if (length & (length - 1)) return list;
  void *memory = realloc(list, (length ? length * 2 : 1) * size);
  if (!memory) abort();
  return memory;
}

/* Adds a number about a slice (`label` is NULL for the whole) and returns it, to add `low` and `high`. NaN stands for
 * an undefined value, which the report has no number for. */
static inline sw_metric *sw_report_metric(sw_report *report, const char *name, double value, uint64_t support,
                                          const char *label, sw_string slice) {
  report->metrics.ptr = sw_room(report->metrics.ptr, report->metrics.len, sizeof(sw_metric));
  sw_metric *metric = &report->metrics.ptr[report->metrics.len++];
  *metric = (sw_metric){0};
  metric->name = sw_text(name);
  metric->labels = sw_labels(label, slice);
  metric->value.is_some = value == value;
  metric->value.val = value;
  metric->support.is_some = true;
  metric->support.val = support;
  return metric;
}

/* Adds a sentence for people. A violation stops the run. */
static inline void sw_report_finding(sw_report *report, uint8_t severity, sw_string message, const char *label,
                                     sw_string slice) {
  report->findings.ptr =
      sw_room(report->findings.ptr, report->findings.len, sizeof(stagewright_stage_reports_finding_t));
  report->findings.ptr[report->findings.len++] =
      (stagewright_stage_reports_finding_t){severity, message, sw_labels(label, slice)};
}

/* Gives the lists that stayed empty an address, which the host wants to see. */
static inline void sw_report_finish(sw_report *report) {
  if (!report->metrics.ptr) report->metrics.ptr = sw_new(1, sizeof(sw_metric));
  if (!report->findings.ptr) report->findings.ptr = sw_new(1, sizeof(stagewright_stage_reports_finding_t));
  if (!report->figures.ptr) report->figures.ptr = sw_new(1, sizeof(stagewright_stage_reports_figure_t));
}

#define SW_WHOLE NULL, (sw_string){(uint8_t *)"", 0}

#endif
