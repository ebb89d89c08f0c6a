package deepseek_test

import (
	"os"
	"testing"

	"github.com/cockroachdb/datadriven"

	"baleen/internal/deepseek"
	"baleen/internal/op"
)

// TestPrograms pins the text of what a model records: what changes in the forward pass is read here, op by op. -rewrite
// writes it anew.
func TestPrograms(t *testing.T) {
	text, err := os.ReadFile("testdata/goldens/block-a/fp8fp4/config.json")
	if err != nil {
		t.Fatal(err)
	}
	c, err := deepseek.ParseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	datadriven.RunTest(t, "testdata/programs", func(t *testing.T, d *datadriven.TestData) string {
		var name string
		d.ScanArgs(t, "numerics", &name)
		n, err := deepseek.ParseNumerics(name)
		if err != nil {
			t.Fatal(err)
		}
		m := &deepseek.Model{Config: c, Weights: c.Layout(), Numerics: n}
		caps := op.Caps{Rows: 64, Slots: 4, Pages: 64, Context: 2048}
		switch d.Cmd {
		case "draft":
			return m.Draft(caps).String()
		case "next":
			return m.DraftNext(caps).String()
		}
		return m.Forward(caps).String()
	})
}
