package offstage

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
)

// lossless remembers of types whether they are: reflect.Type → bool.
var lossless sync.Map

// isLossless reports whether every value of a type that can be written as JSON
// is read back as what it was, by its type alone, unless a text of it is not
// valid UTF-8: then there is no need to try. Types that it does not know well enough, it takes not to be.
func isLossless(t reflect.Type) bool {
	if known, ok := lossless.Load(t); ok {
		return known.(bool)
	}
	is := looksLossless(t, nil)
	lossless.Store(t, is)
	return is
}

// looksLossless finds out; above are the types that t is a part of.
func looksLossless(t reflect.Type, above []reflect.Type) bool {
	if t == reflect.TypeFor[json.Number]() || speaksForItself(t) || len(above) > 16 {
		return false
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return looksLossless(t.Elem(), append(above, t))
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Anonymous || !f.IsExported() || strings.Contains(f.Tag.Get("json"), ",string") || !looksLossless(f.Type, append(above, t)) {
				return false
			}
		}
		return true
	}
	return false // maps, whose keys can become alike; interfaces, which forget their types
}

// speaksForItself reports whether a type, or a pointer to it, has a say in how
// it is written or read.
func speaksForItself(t reflect.Type) bool {
	for _, own := range []reflect.Type{
		reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler](),
		reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
	} {
		if t.Implements(own) || reflect.PointerTo(t).Implements(own) {
			return true
		}
	}
	return false
}
