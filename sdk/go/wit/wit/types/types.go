// Package wit_types has the generic types that generated bindings speak of: what wit-bindgen's own package of this
// path offers, without what belongs to asynchronous functions, which stages do not have.
package wit_types

// Unit is the value of a result that has none.
type Unit struct{}

const (
	// OptionNone says that there is no value.
	OptionNone = 0
	// OptionSome says that there is one.
	OptionSome = 1
	// ResultOk says that it went well.
	ResultOk = 0
	// ResultErr says that it did not.
	ResultErr = 1
)

// Option is a value that may be absent.
type Option[T any] struct {
	tag   uint8
	value T
}

// None is no value.
func None[T any]() Option[T] { return Option[T]{} }

// Some is a value.
func Some[T any](value T) Option[T] { return Option[T]{OptionSome, value} }

// Tag says whether there is a value.
func (option Option[T]) Tag() uint8 { return option.tag }

// IsSome says whether there is a value.
func (option Option[T]) IsSome() bool { return option.tag == OptionSome }

// Some returns the value, which must be there.
func (option Option[T]) Some() T {
	if option.tag != OptionSome {
		panic("there is no value")
	}
	return option.value
}

// Result is a value or the reason why there is none.
type Result[T any, E any] struct {
	tag   uint8
	value T
	err   E
}

// Ok is a value.
func Ok[T any, E any](value T) Result[T, E] { return Result[T, E]{tag: ResultOk, value: value} }

// Err is a reason.
func Err[T any, E any](err E) Result[T, E] { return Result[T, E]{tag: ResultErr, err: err} }

// Tag says which it is.
func (result Result[T, E]) Tag() uint8 { return result.tag }

// IsErr says whether there is a reason.
func (result Result[T, E]) IsErr() bool { return result.tag == ResultErr }

// Ok returns the value, which must be there.
func (result Result[T, E]) Ok() T {
	if result.tag != ResultOk {
		panic("there is no value")
	}
	return result.value
}

// Err returns the reason, which must be there.
func (result Result[T, E]) Err() E {
	if result.tag != ResultErr {
		panic("there is no reason")
	}
	return result.err
}
