// Package runtime is what generated bindings stand on: handles, and memory that the host may write into. It offers
// what wit-bindgen's own package of this path does, as far as stages need it.
package runtime

import (
	"runtime"
	"unsafe"
)

// Handle is an index into the component's table of resources, taken at most once.
type Handle struct{ value int32 }

// MakeHandle wraps an index.
func MakeHandle(value int32) *Handle { return &Handle{value} }

// Use returns the index, which must not have been taken.
func (handle *Handle) Use() int32 {
	if handle.value == 0 {
		panic("a handle was used after it was given away")
	}
	return handle.value
}

// Take returns the index and forgets it.
func (handle *Handle) Take() int32 {
	value := handle.Use()
	handle.value = 0
	return value
}

// TakeOrNil returns the index and forgets it; 0 if it was taken.
func (handle *Handle) TakeOrNil() int32 {
	value := handle.value
	handle.value = 0
	return value
}

// Set puts an index back.
func (handle *Handle) Set(value int32) {
	if value == 0 || handle.value != 0 {
		panic("a handle was set twice or to nothing")
	}
	handle.value = value
}

// Allocate returns memory that stays where it is until the pinner lets go.
func Allocate(pinner *runtime.Pinner, size, align uintptr) unsafe.Pointer {
	if size == 0 {
		return nil
	}
	// Words of eight bytes are aligned for everything that the canonical ABI stores.
	pointer := unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+7)/8)))
	pinner.Pin(pointer)
	return pointer
}

// Before the runtime stands, its own lowest allocator is all there is.
//
//go:linkname sbrk runtime.sbrk
func sbrk(size uintptr) unsafe.Pointer

var (
	started  bool
	received runtime.Pinner
)

func init() { started = true }

// Unpin lets go of what the host wrote: by now Go's own pointers hold it.
func Unpin() { received.Unpin() }

// The collector looks at the clock, which is an import, and imports may not be called while the host allocates.
//
//go:wasmimport wasi_snapshot_preview1 adapter_monotonic_clock_set_paused
func pauseClock(paused bool)

//go:wasmexport cabi_realloc
func reallocate(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	if old != nil || oldSize != 0 {
		panic("the host never makes memory larger")
	}
	if !started {
		start := uintptr(sbrk(size + align))
		return unsafe.Pointer((start + align - 1) &^ (align - 1))
	}
	pauseClock(true)
	pointer := Allocate(&received, size, align)
	pauseClock(false)
	return pointer
}
