/** Metrics that gates can test, findings that people read, and plots. */
export class Report {
  metrics = [];
  findings = [];
  figures = [];

  /** Adds a number; undefined where it is undefined, never a stand-in. */
  metric(name, value, { labels = {}, support, low, high } = {}) {
    this.metrics.push({ name, value: value ?? undefined, labels, support, low, high });
  }

  /** Adds something worth knowing. */
  info(message, labels = {}) {
    this.findings.push({ severity: "info", message, labels });
  }

  /** Adds something worth a look. */
  warning(message, labels = {}) {
    this.findings.push({ severity: "warning", message, labels });
  }

  /** Adds something that stops the run. */
  violation(message, labels = {}) {
    this.findings.push({ severity: "violation", message, labels });
  }

  /** Adds a plot: a Vega-Lite specification. */
  figure(title, specification) {
    this.figures.push({ title, vegaLite: JSON.stringify(specification) });
  }
}
