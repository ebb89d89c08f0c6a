package plan

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"slices"
	"testing"
)

var refit = flag.Bool("fit", false, "fit the factors to testdata/anchors.csv and write data/factors.json")

// anchored are the measurements that the factors are fitted to.
func anchored(t *testing.T) []*trial {
	t.Helper()
	file, err := os.Open("testdata/anchors.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	anchors, err := readAnchors(file)
	if err != nil {
		t.Fatal(err)
	}
	table, err := Hardware()
	if err != nil {
		t.Fatal(err)
	}
	trials, _ := setups(anchors, table)
	return slices.DeleteFunc(trials, func(t *trial) bool { return t == nil })
}

// TestFactors: the factors that the project carries are those that fitting gives from where it begins, and what is said of them is so.
// With -fit they are written.
func TestFactors(t *testing.T) {
	trials := anchored(t)
	fitted := fitWell(trials)
	if *refit {
		write(t, trials, fitted)
	}
	f, err := fittedFactors()
	if err != nil {
		t.Fatal(err)
	}
	if *refit {
		return
	}
	for i, name := range factorNames {
		if math.Abs(f.values[i]/fitted[i]-1) > 0.02 { // processors differ in how they round
			t.Errorf("%s is %g, fitted it is %g: run go test ./internal/plan -run TestFactors -fit", name, f.values[i], fitted[i])
		}
		if fitted[i] < limits[i][0] || fitted[i] > limits[i][1] {
			t.Errorf("%s is %g, outside of %v", name, fitted[i], limits[i])
		}
	}
}

// write stores factors. The bands are from predictions of each source by factors that were fitted to the others.
func write(t *testing.T, trials []*trial, fitted values) {
	t.Helper()
	without, err := fitWithout(t.Context(), trials, fitted)
	if err != nil {
		t.Fatal(err)
	}
	var residuals []float64
	var twice []*trial
	s := stored{
		Note:   "fitted to internal/plan/testdata/anchors.csv by go test ./internal/plan -run TestFactors -fit; bands from all predictions, and from those of each source by factors that were fitted to the others",
		Values: map[string]float64{},
	}
	for _, trial := range trials {
		v := without[trial.source]
		residuals = append(residuals, trial.residual(&v), trial.residual(&fitted))
		twice = append(twice, trial, trial)
		s.Fitted = append(s.Fitted, trial.id)
		if !slices.Contains(s.Chips, trial.decode.chip.Name) {
			s.Chips = append(s.Chips, trial.decode.chip.Name)
		}
		s.Devices = max(s.Devices, trial.chips)
		s.Context = max(s.Context, or(trial.context, 0), or(trial.in, 0))
		s.Together = max(s.Together, or(trial.concurrency, 0))
	}
	for i, name := range factorNames {
		s.Values[name] = fitted[i]
	}
	s.Bands = bandsOf(twice, residuals)
	data, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("data/factors.json", append(data, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestAnchors: the measure of the planner, on the measurements it was fitted to.
func TestAnchors(t *testing.T) {
	table, err := Hardware()
	if err != nil {
		t.Fatal(err)
	}
	for _, leaveOut := range []bool{false, true} {
		file, err := os.Open("testdata/anchors.csv")
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		b, err := Backtest(t.Context(), file, table, leaveOut)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range b.Rows {
			if row.Predicted == nil {
				t.Logf("%-26s %s", row.ID, row.Reason)
				continue
			}
			t.Logf("%-26s %-20s %-24s %9.4g %9.4g [%9.4g %9.4g] %+5.0f%% %v %s", row.ID, row.Class, row.Metric, row.Measured, *row.Predicted, *row.Low, *row.High, *row.Error, row.Inside, row.LimitedBy)
		}
		for _, s := range b.Summary {
			t.Logf("%-22s n %d/%d median %.0f %% worst %.0f %% (%s) inside %.0f %% width %.2f", s.Class, s.Predicted, s.Rows, s.Median, s.Worst, s.WorstID, s.Inside, s.Width)
		}
		all := b.Summary[len(b.Summary)-1]
		if !leaveOut && (all.Median > 25 || all.Inside < 80 || all.Width > 2.5) {
			t.Errorf("median error %.0f %% (25), inside %.0f %% (80), width %.2f (2.5)", all.Median, all.Inside, all.Width)
		}
	}
}
