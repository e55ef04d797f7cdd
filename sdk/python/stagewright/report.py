"""What evaluators, fairness checkers, validators and monitors return."""

INFO, WARNING, VIOLATION = "info", "warning", "violation"


class Report:
    """Metrics that gates can test, findings that people read, and plots."""

    def __init__(self):
        self.metrics, self.findings, self.figures = [], [], []

    def metric(self, name, value, support=None, low=None, high=None, **labels):
        """Adds a number; None where it is undefined, never a stand-in. `labels` name the slice it is about."""
        self.metrics.append((name, value, support, low, high, labels))

    def info(self, message, **labels):
        """Adds something worth knowing."""
        self.findings.append((INFO, message, labels))

    def warning(self, message, **labels):
        """Adds something worth a look."""
        self.findings.append((WARNING, message, labels))

    def violation(self, message, **labels):
        """Adds something that stops the run."""
        self.findings.append((VIOLATION, message, labels))

    def figure(self, title, vega_lite):
        """Adds a plot: a Vega-Lite specification as JSON text."""
        self.figures.append((title, vega_lite))
