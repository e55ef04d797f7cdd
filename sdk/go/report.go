package stagewright

import "math"

// Severities of findings.
const (
	FindingInfo uint8 = iota
	FindingWarning
	FindingViolation
)

// Labels name the slice that a number or sentence is about, as pairs of name and value.
type Labels []string

// Metric is a number that gates can test; NaN where it is undefined.
type Metric struct {
	Name             string
	Labels           Labels
	Value, Low, High float64
	Support          uint64
}

// Finding is a sentence for people.
type Finding struct {
	Severity uint8
	Message  string
	Labels   Labels
}

// Figure is a plot.
type Figure struct{ Title, VegaLite string }

// Report is everything that a stage has to say.
type Report struct {
	Metrics  []Metric
	Findings []Finding
	Figures  []Figure
}

// Metric adds a number; NaN where it is undefined.
func (report *Report) Metric(name string, value float64, support int, labels ...string) *Metric {
	report.Metrics = append(report.Metrics, Metric{name, labels, value, math.NaN(), math.NaN(), uint64(support)})
	return &report.Metrics[len(report.Metrics)-1]
}

// Info adds something worth knowing.
func (report *Report) Info(message string, labels ...string) {
	report.Findings = append(report.Findings, Finding{FindingInfo, message, labels})
}

// Warning adds something worth a look.
func (report *Report) Warning(message string, labels ...string) {
	report.Findings = append(report.Findings, Finding{FindingWarning, message, labels})
}

// Violation adds something that stops the run.
func (report *Report) Violation(message string, labels ...string) {
	report.Findings = append(report.Findings, Finding{FindingViolation, message, labels})
}
