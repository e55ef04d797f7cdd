package stagewright

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
)

// Port is a table that a preprocessor reads or writes.
type Port struct {
	Name, Doc string
	Optional  bool
}

// Loaded is a fitted featurizer or a loaded model.
type Loaded interface {
	// Input are the columns that it reads.
	Input() []Field
	// Fields are the columns that it returns.
	Fields() []Field
	// Apply transforms rows, or predicts for them.
	Apply(rows *Table) (*Table, error)
}

// Stage is one stage, with its parameters still as text. The functions below make one.
type Stage struct {
	Doc, PredictorDoc, Schema string
	Inputs, Outputs           []Port
	Prepare                   func(inputs map[string]Reader, outputs map[string]Writer, parameters string) error
	Learn                     func(training, validation Reader, parameters string) ([]byte, error)
	Load                      func(saved []byte, fields []Field) (Loaded, error)
	Judge                     func(scored Reader, model Model, parameters string) (*Report, error)
	Validate                  func(table Reader, parameters string) (*Report, error)
	Observe                   func(reference, current Reader, model Model, parameters string) (*Report, error)
}

// Preprocessor makes a stage of tables in, tables out.
func Preprocessor[P any](doc string, prepare func(map[string]Reader, map[string]Writer, P) error) *Stage {
	return &Stage{
		Doc: doc, Schema: schema[P](),
		Inputs:  []Port{{"table", "The rows to work on.", false}},
		Outputs: []Port{{"table", "The rows that were worked on.", false}},
		Prepare: func(inputs map[string]Reader, outputs map[string]Writer, text string) error {
			parameters, err := parse[P](text)
			if err != nil {
				return err
			}
			return prepare(inputs, outputs, parameters)
		},
	}
}

// Featurizer makes a stage that learns from the training rows and is applied, unchanged, when the model serves.
func Featurizer[P any](doc string, fit func(Reader, P) ([]byte, error), load func([]byte, []Field) (Loaded, error)) *Stage {
	learn := func(training, _ Reader, text string) ([]byte, error) {
		parameters, err := parse[P](text)
		if err != nil {
			return nil, err
		}
		return fit(training, parameters)
	}
	return &Stage{Doc: doc, Schema: schema[P](), Learn: learn, Load: load}
}

// Trainer makes a trainer and the predictor that reads its weights. The validation reader may be nil.
func Trainer[P any](
	doc, predictorDoc string, train func(training, validation Reader, parameters P) ([]byte, error),
	load func([]byte, []Field) (Loaded, error),
) *Stage {
	learn := func(training, validation Reader, text string) ([]byte, error) {
		parameters, err := parse[P](text)
		if err != nil {
			return nil, err
		}
		return train(training, validation, parameters)
	}
	return &Stage{Doc: doc, PredictorDoc: predictorDoc, Schema: schema[P](), Learn: learn, Load: load}
}

// Judge makes an evaluator or a fairness checker. The model may be nil.
func Judge[P any](doc string, judge func(scored Reader, model Model, parameters P) (*Report, error)) *Stage {
	return &Stage{Doc: doc, Schema: schema[P](), Judge: func(scored Reader, model Model, text string) (*Report, error) {
		parameters, err := parse[P](text)
		if err != nil {
			return nil, err
		}
		return judge(scored, model, parameters)
	}}
}

// Validator makes a stage that judges a table.
func Validator[P any](doc string, validate func(table Reader, parameters P) (*Report, error)) *Stage {
	return &Stage{Doc: doc, Schema: schema[P](), Validate: func(table Reader, text string) (*Report, error) {
		parameters, err := parse[P](text)
		if err != nil {
			return nil, err
		}
		return validate(table, parameters)
	}}
}

// Monitor makes a stage that compares a current table with a reference. The model may be nil.
func Monitor[P any](doc string, observe func(reference, current Reader, model Model, parameters P) (*Report, error)) *Stage {
	called := func(reference, current Reader, model Model, text string) (*Report, error) {
		parameters, err := parse[P](text)
		if err != nil {
			return nil, err
		}
		return observe(reference, current, model, parameters)
	}
	return &Stage{Doc: doc, Schema: schema[P](), Observe: called}
}

// The type of a parameter in JSON Schema. A pointer may be null.
func typed(kind reflect.Type) map[string]any {
	switch kind.Kind() {
	case reflect.Pointer:
		inner := typed(kind.Elem())
		inner["type"] = []any{inner["type"], "null"}
		return inner
	case reflect.Slice:
		return map[string]any{"type": "array", "items": typed(kind.Elem())}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer"}
	}
	return map[string]any{"type": "string"}
}

// The JSON Schema of a parameter struct: `json` names a field, `doc` describes it, `default`, `minimum` and `maximum`
// are JSON. A field without a default is required.
func schema[P any]() string {
	kind := reflect.TypeFor[P]()
	properties, required := map[string]any{}, []string{}
	for place := range kind.NumField() {
		field := kind.Field(place)
		property := typed(field.Type)
		property["description"] = field.Tag.Get("doc")
		for _, word := range []string{"default", "minimum", "maximum"} {
			if text, there := field.Tag.Lookup(word); there {
				property[word] = json.RawMessage(text)
			}
		}
		name := field.Tag.Get("json")
		if _, there := field.Tag.Lookup("default"); !there {
			required = append(required, name)
		}
		properties[name] = property
	}
	whole := map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
		"properties": properties, "required": required, "additionalProperties": false,
	}
	text, _ := json.Marshal(whole)
	return string(text)
}

// Reads parameters, with the defaults of what is not there.
func parse[P any](text string) (P, error) {
	var parameters P
	if text == "" {
		text = "{}"
	}
	value := reflect.ValueOf(&parameters).Elem()
	given := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(text), &given); err != nil {
		return parameters, InvalidParameter("the parameters are not a JSON object: %s", err)
	}
	for place := range value.NumField() {
		tag := value.Type().Field(place).Tag
		content, there := given[tag.Get("json")]
		if !there {
			fallback, optional := tag.Lookup("default")
			if !optional {
				return parameters, InvalidParameter("the parameter `%s` is missing", tag.Get("json"))
			}
			content = json.RawMessage(fallback)
		}
		decoder := json.NewDecoder(bytes.NewReader(content))
		if err := decoder.Decode(value.Field(place).Addr().Interface()); err != nil {
			return parameters, InvalidParameter("`%s` cannot be %s", tag.Get("json"), content)
		}
		number, err := strconv.ParseFloat(strings.TrimSpace(string(content)), 64)
		for word, wrong := range map[string]func(float64) bool{
			"minimum": func(bound float64) bool { return number < bound },
			"maximum": func(bound float64) bool { return number > bound },
		} {
			if bound, none := strconv.ParseFloat(tag.Get(word), 64); none == nil && err == nil && wrong(bound) {
				return parameters, InvalidParameter("`%s` cannot be %s: it is out of range", tag.Get("json"), content)
			}
		}
		delete(given, tag.Get("json"))
	}
	for name := range given {
		return parameters, InvalidParameter("unknown parameter `%s`", name)
	}
	return parameters, nil
}
