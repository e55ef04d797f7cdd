// Package stagewright is for writing Stagewright stages in Go: name a kind of stage, say what it takes and what it
// does, and keep it in a variable called Stage of a package called stage.
//
// Everything here also runs natively, so that a stage's algorithm can be tested with `go test`.
package stagewright

import (
	"errors"
	"fmt"
	"iter"
)

// FailureKind says who can mend a failure.
type FailureKind uint8

const (
	// BadParameter is for the pipeline's author to mend.
	BadParameter FailureKind = iota
	// BadData is for whoever made the data.
	BadData
	// BadState means that saved state or weights are not what this plugin wrote.
	BadState
	// BadPlugin is for the plugin's author.
	BadPlugin
)

// Failure is why a stage cannot do its work. Any other error counts as BadPlugin.
type Failure struct {
	Kind    FailureKind
	Message string
}

func (failure *Failure) Error() string { return failure.Message }

// InvalidParameter makes a failure for the pipeline's author.
func InvalidParameter(format string, arguments ...any) error {
	return &Failure{BadParameter, fmt.Sprintf(format, arguments...)}
}

// InvalidData makes a failure for whoever made the data.
func InvalidData(format string, arguments ...any) error {
	return &Failure{BadData, fmt.Sprintf(format, arguments...)}
}

// InvalidState makes a failure about saved state or weights.
func InvalidState(format string, arguments ...any) error {
	return &Failure{BadState, fmt.Sprintf(format, arguments...)}
}

// FailureOf returns the failure behind an error.
func FailureOf(err error) *Failure {
	var failure *Failure
	if errors.As(err, &failure) {
		return failure
	}
	return &Failure{BadPlugin, err.Error()}
}

// Reader is a table to read.
type Reader interface {
	Fields() []Field
	// Rows is the number of rows of the whole table.
	Rows() int
	// Next returns some further rows of the columns at these places; nil at the end.
	Next(places []uint32, rows int) (*Table, error)
	Rewind()
}

// Writer is a table to write. Start must be called, even where no rows follow.
type Writer interface {
	Start(fields []Field) error
	Write(table *Table) error
}

// Model is the model behind an evaluator's, fairness checker's or monitor's handle.
type Model interface {
	Input() []Field
	Fields() []Field
	// Predict takes the columns that it needs from a table.
	Predict(table *Table) (*Table, error)
}

// RowsAtATime is how many rows are asked for at once.
const RowsAtATime = 65_536

// Batches goes through the table from its first row, by the named columns (all, if none is named).
func Batches(reader Reader, columns ...string) iter.Seq2[*Table, error] {
	return func(yield func(*Table, error) bool) {
		fields := reader.Fields()
		var places []uint32
		for _, name := range columns {
			place := Find(fields, name)
			if place < 0 {
				yield(nil, noSuchColumn(name, fields))
				return
			}
			places = append(places, uint32(place))
		}
		if len(columns) == 0 {
			for place := range fields {
				places = append(places, uint32(place))
			}
		}
		reader.Rewind()
		for {
			table, err := reader.Next(places, RowsAtATime)
			if table == nil && err == nil || !yield(table, err) || err != nil {
				return
			}
		}
	}
}

// Log levels.
const (
	Debug uint8 = iota
	Info
	Warn
	Error
)

// Host is what a stage sees of the world; the glue puts the real one here. Natively there is none.
var Host = struct {
	Log       func(level uint8, message string)
	Progress  func(done, total uint64)
	Metric    func(name string, step uint64, value float64)
	Seed      func() uint64
	Cancelled func() bool
}{
	Log:       func(uint8, string) {},
	Progress:  func(uint64, uint64) {},
	Metric:    func(string, uint64, float64) {},
	Seed:      func() uint64 { return 0 },
	Cancelled: func() bool { return false },
}
