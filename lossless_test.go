package offstage

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type plainArgs struct {
	Name  string  `json:"name,omitempty"`
	N     int64   `json:"n"`
	Small uint8   `json:",omitempty"`
	F     float64 `json:"f"`
	G     float32
	Yes   *bool `json:"yes"`
	Words []string
	Raw   []byte
	Inner []innerArgs
	Pair  [2]int16
	Gone  int `json:"-"`
}

type innerArgs struct {
	ID int `json:"id"`
	Id int `json:"ID"`
}

// TestLossless: what is taken on trust survives the round trip that is saved.
func TestLossless(t *testing.T) {
	if !isLossless(reflect.TypeFor[plainArgs]()) || !isLossless(reflect.TypeFor[*plainArgs]()) {
		t.Fatal("plain arguments are not taken to be lossless")
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
		args := plainArgs{
			Name: text.Draw(t, "name"), N: rapid.Int64().Draw(t, "n"), Small: rapid.Uint8().Draw(t, "small"),
			F: rapid.Float64().Draw(t, "f"), G: rapid.Float32().Draw(t, "g"), Yes: rapid.Ptr(rapid.Bool(), true).Draw(t, "yes"),
			Words: rapid.SliceOf(text).Draw(t, "words"), Raw: rapid.SliceOf(rapid.Byte()).Draw(t, "raw"),
			Inner: []innerArgs{{ID: rapid.Int().Draw(t, "id"), Id: rapid.Int().Draw(t, "other id")}},
			Pair:  [2]int16{rapid.Int16().Draw(t, "one"), 2}, Gone: 1,
		}
		first, err := json.Marshal(args)
		if err != nil || bytes.Contains(first, []byte(badText)) {
			return // refused, or tried
		}
		var again plainArgs
		if err := json.Unmarshal(first, &again); err != nil {
			t.Fatal(err)
		}
		if second, err := json.Marshal(again); err != nil || string(first) != string(second) {
			t.Fatalf("%s is read back as %s, %v", first, second, err)
		}
	})
}

type chain struct{ Next *chain }

func TestNotLossless(t *testing.T) {
	for _, value := range []any{
		map[string]int{}, struct{ Any any }{}, time.Time{}, json.Number(""), struct{ R json.RawMessage }{}, chain{},
		struct{ innerArgs }{}, struct{ hidden int }{}, struct {
			N int `json:",string"`
		}{}, []any{},
	} {
		if isLossless(reflect.TypeOf(value)) {
			t.Errorf("%T is taken to be lossless", value)
		}
	}
}
