package deepseek

import (
	"os"
	"strings"
	"testing"

	"baleen/internal/op"
)

// Whatever a config.json says: an error in one line, or a shape whose weights can be listed, added up, and recorded from.
func FuzzConfig(f *testing.F) {
	for _, name := range []string{"v4-flash", "v4-pro", "v4-flash-0731", "v4-pro-0813"} {
		text, _ := ReleasedConfig(name)
		f.Add(text)
	}
	text, err := os.ReadFile("testdata/tiny.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"architectures":["DeepseekV41ForCausalLM"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseConfig(text)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") || len(err.Error()) > 1000 {
				t.Fatalf("%d bytes of error: %q", len(err.Error()), err)
			}
			return
		}
		if c.Layers*c.Experts > 1000 {
			return // the rest takes a tenth of a second for the releases, which other tests record
		}
		w := c.Layout()
		backbone, drafter := w.Bytes()
		if backbone <= 0 || drafter < 0 || (drafter > 0) != (c.DraftStages() > 0) {
			t.Fatalf("%d and %d bytes", backbone, drafter)
		}
		m := &Model{Config: c, Weights: w}
		caps := op.Caps{Rows: 1, Slots: 1, Pages: 1}
		m.Forward(caps)
		m.Draft(caps)
	})
}
