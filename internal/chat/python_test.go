package chat

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// TestPython holds the printer against what Python printed. In the file, blanks that are no spaces are drawn as signs.
func TestPython(t *testing.T) {
	blanks := strings.NewReplacer("␤", "\n", "␍", "\r", "␉", "\t")
	n := 0
	for line := range strings.SplitSeq(read(t, "python_json"), "\n") {
		in, want, ok := strings.Cut(line, " → ")
		if !ok || line[0] == '#' {
			continue
		}
		n++
		got, err := appendPython([]byte("x"), []byte(blanks.Replace(in)))
		if err != nil || string(got) != "x"+want {
			t.Errorf("%s gave %s, %v, want %s", in, got[1:], err, want)
		}
	}
	if n < 40 {
		t.Errorf("only %d cases", n)
	}
}

func TestPythonRefuses(t *testing.T) {
	for _, in := range []string{"", " ", "x", "{", "[1,]", `{"a"}`, "01", "1.", "NaN", `"` + "\n" + `"`, "1 2", strings.Repeat("[", 2000) + strings.Repeat("]", 2000), strings.Repeat("[", 1<<20)} {
		if got, err := appendPython(nil, []byte(in)); err == nil {
			t.Errorf("%.20q gave %.20q", in, got)
		}
	}
	nested := strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)
	if got, err := appendPython(nil, []byte(nested)); err != nil || string(got) != nested {
		t.Error(err)
	}
}

// FuzzPython checks that printing keeps the value, and that what is printed prints as itself.
func FuzzPython(f *testing.F) {
	for line := range strings.SplitSeq(read(f, "python_json"), "\n") {
		in, _, _ := strings.Cut(line, " → ")
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := appendPython(nil, in)
		if err != nil {
			return
		}
		if strings.Contains(string(got), "Infinity") {
			return // Python's own
		}
		again, err := appendPython(nil, got)
		if err != nil || string(again) != string(got) {
			t.Fatalf("%q gave %q, and that %q, %v", in, got, again, err)
		}
		var before, after any
		err1, err2 := json.Unmarshal(in, &before), json.Unmarshal(got, &after)
		if err1 != nil && err2 != nil {
			return // a number beyond what Go reads
		}
		if err1 != nil || err2 != nil || !reflect.DeepEqual(before, after) && !strings.Contains(string(in), "-0") {
			t.Fatalf("%q gave %q", in, got)
		}
	})
}
