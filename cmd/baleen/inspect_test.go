package main

import (
	"math"
	"path/filepath"
	"testing"

	"baleen/internal/synth"
)

// What releases have and cost, by section 16 of the model spec: billions of parameters, gigabytes of weights, megabytes of
// key-values read at 4k, 64k and 1M positions with packed rows (those of fast).
var releases = map[string]struct {
	backbone, withDrafter, active, stored, perToken float64
	kv                                              [3]float64
}{
	"v4-flash": {284.33, 290.94, 13.27, 159.6, 11.2, [3]float64{11.3, 38.8, 479}},
	"v4-pro":   {1573.0, 1598.8, 48.85, 864.7, 39.7, [3]float64{25.1, 65.1, 705}},
}

func TestInspectReleases(t *testing.T) {
	for shape, want := range releases {
		dir := filepath.Join(t.TempDir(), shape)
		if err := synth.Write(t.Context(), dir, synth.Options{Shape: shape, MTP: true, Sparse: true}, func(int64, int64) {}); err != nil {
			t.Fatal(err)
		}
		m, err := findModel(dir)
		if err != nil {
			t.Fatal(err)
		}
		got, err := inspect(m)
		if err != nil {
			t.Fatal(err)
		}
		near := func(what string, got int64, want, unit float64) {
			if math.Abs(float64(got)/unit-want) > want/100 {
				t.Errorf("%s: %s is %g, expected %g", shape, what, float64(got)/unit, want)
			}
		}
		near("backbone", got.Parameters.Backbone, want.backbone, 1e9)
		near("with drafter", got.Parameters.Backbone+got.Parameters.Drafter, want.withDrafter, 1e9)
		near("active", got.Parameters.Active, want.active, 1e9)
		near("stored", got.Weights.Backbone+got.Weights.Drafter, want.stored, 1e9)
		near("read per token", got.PerToken, want.perToken, 1e9)
		for i, c := range got.Numerics[2].Contexts {
			near("KV", c.KV, want.kv[i], 1e6)
		}
		if !got.Sparse || got.Drafter != "mtp" || got.Encoding != "v4" {
			t.Errorf("%s: %+v", shape, got)
		}
	}
}
