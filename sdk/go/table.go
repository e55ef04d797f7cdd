package stagewright

import (
	"math"
	"strconv"
	"strings"
	"unsafe"
)

// ColumnType is the type of a column's values.
type ColumnType = uint8

// The types, in the contract's order.
const (
	Boolean ColumnType = iota
	Int64
	Float64
	Timestamp
	Text
	Category
)

// Field is a column's name and type.
type Field struct {
	Name     string
	Type     ColumnType
	Nullable bool
}

// IsNumeric says whether the values are numbers (or yes and no, which count as 1 and 0).
func (field Field) IsNumeric() bool { return field.Type != Text && field.Type != Category }

// Find returns the place of a column, or -1.
func Find(fields []Field, name string) int {
	for place, field := range fields {
		if field.Name == name {
			return place
		}
	}
	return -1
}

func noSuchColumn(name string, fields []Field) error {
	names := make([]string, 0, len(fields))
	for _, field := range fields {
		if strings.EqualFold(field.Name, name) {
			return InvalidData("the table has no column `%s`; did you mean `%s`?", name, field.Name)
		}
		names = append(names, "`"+field.Name+"`")
	}
	return InvalidData("the table has no column `%s`; its columns are %s", name, strings.Join(names, ", "))
}

// Series is a named column: the contract's buffers, viewed where they lie.
type Series struct {
	Name     string
	Type     ColumnType
	Rows     int
	Values   []byte
	Validity []byte
	Offsets  []byte
	Words    []string
}

// Field returns the column's name and type.
func (series *Series) Field() Field { return Field{series.Name, series.Type, series.Validity != nil} }

// Has says whether a row has a value.
func (series *Series) Has(row int) bool {
	return series.Validity == nil || series.Validity[row>>3]>>(row&7)&1 == 1
}

// Missing is the number of rows without a value.
func (series *Series) Missing() int {
	missing := 0
	for row := range series.Rows {
		if !series.Has(row) {
			missing++
		}
	}
	return missing
}

func view[T any](bytes []byte) []T {
	var one T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(bytes))), len(bytes)/int(unsafe.Sizeof(one)))
}

// Floats views the values of a column of float64.
func (series *Series) Floats() []float64 { return view[float64](series.Values) }

// Ints views the values of a column of int64 or timestamp.
func (series *Series) Ints() []int64 { return view[int64](series.Values) }

// Number is the value of a row as a number: NaN where it has none, or the column holds words.
func (series *Series) Number(row int) float64 {
	switch {
	case !series.Has(row) || series.Type == Text || series.Type == Category:
		return math.NaN()
	case series.Type == Float64:
		return series.Floats()[row]
	case series.Type == Boolean:
		return float64(series.Values[row>>3] >> (row & 7) & 1)
	}
	return float64(series.Ints()[row])
}

// Text is the value of a row as people write it; false where it has none.
func (series *Series) Text(row int) (string, bool) {
	if !series.Has(row) {
		return "", false
	}
	switch series.Type {
	case Text:
		offsets := view[uint32](series.Offsets)
		return string(series.Values[offsets[row]:offsets[row+1]]), true
	case Category:
		return series.Words[view[uint32](series.Values)[row]], true
	case Float64:
		return strconv.FormatFloat(series.Floats()[row], 'g', -1, 64), true
	case Boolean:
		return strconv.FormatBool(series.Values[row>>3]>>(row&7)&1 == 1), true
	}
	return strconv.FormatInt(series.Ints()[row], 10), true
}

// Replaced is a column of float64 in this one's place: same name, same rows missing.
func (series *Series) Replaced(values []float64) *Series {
	made := OfFloats(series.Name, values)
	made.Validity = series.Validity
	return made
}

// OfFloats makes a column in which every row has a value.
func OfFloats(name string, values []float64) *Series {
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), len(values)*8)
	return &Series{Name: name, Type: Float64, Rows: len(values), Values: bytes}
}

// OfTexts makes a column of text in which every row has a value.
func OfTexts(name string, texts []string) *Series {
	offsets := make([]uint32, len(texts)+1)
	var values []byte
	for row, text := range texts {
		values = append(values, text...)
		offsets[row+1] = uint32(len(values))
	}
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(offsets))), len(offsets)*4)
	return &Series{Name: name, Type: Text, Rows: len(texts), Values: values, Offsets: bytes}
}

// Table is columns of one length.
type Table struct {
	Rows    int
	Columns []*Series
}

// Fields returns the columns' names and types.
func (table *Table) Fields() []Field {
	fields := make([]Field, len(table.Columns))
	for place, column := range table.Columns {
		fields[place] = column.Field()
	}
	return fields
}

// Column returns the column of this name.
func (table *Table) Column(name string) (*Series, error) {
	for _, column := range table.Columns {
		if column.Name == name {
			return column, nil
		}
	}
	return nil, noSuchColumn(name, table.Fields())
}

// MemoryReader reads a table that is in memory, for tests.
type MemoryReader struct {
	Table *Table
	done  bool
}

// Fields are the table's.
func (reader *MemoryReader) Fields() []Field { return reader.Table.Fields() }

// Rows are the table's.
func (reader *MemoryReader) Rows() int { return reader.Table.Rows }

// Rewind starts again.
func (reader *MemoryReader) Rewind() { reader.done = false }

// Next returns the whole table once.
func (reader *MemoryReader) Next(places []uint32, _ int) (*Table, error) {
	if reader.done || reader.Table.Rows == 0 {
		return nil, nil
	}
	reader.done = true
	table := &Table{Rows: reader.Table.Rows}
	for _, place := range places {
		table.Columns = append(table.Columns, reader.Table.Columns[place])
	}
	return table, nil
}
