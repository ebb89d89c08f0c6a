package plan

import (
	"context"
	"io"
	"math"
	"slices"
)

// Backtested is predicted against measured, as JSON (contract, "plan").
type Backtested struct {
	Version int       `json:"version"`
	Rows    []tested  `json:"rows"`
	Summary []summary `json:"summary"`
}

// tested is a measurement and its prediction. What was not predicted is nil, and there is a reason.
type tested struct {
	ID           string   `json:"id"`
	Class        string   `json:"class"`
	Metric       string   `json:"metric"`
	Measured     float64  `json:"measured"`
	Predicted    *float64 `json:"predicted"`
	Low          *float64 `json:"low80"`
	High         *float64 `json:"high80"`
	Error        *float64 `json:"error_pct"`
	Inside       bool     `json:"inside"`
	LimitedBy    string   `json:"limited_by"`
	Extrapolated bool     `json:"extrapolated"`
	Fitted       bool     `json:"fitted"` // the factors were fitted to this row, too
	Reason       string   `json:"reason,omitempty"`
}

// summary is of a class, or of all rows that were predicted.
type summary struct {
	Class     string  `json:"class"`
	Rows      int     `json:"rows"`
	Predicted int     `json:"n"`
	Median    float64 `json:"median_abs_pct"`
	Worst     float64 `json:"worst"`
	WorstID   string  `json:"worst_id"`
	Inside    float64 `json:"inside_pct"`
	Width     float64 `json:"median_width"` // high over low
}

// Backtest predicts every measurement of a file with the columns of anchors.csv. No row is dropped. With leaveOut each row is predicted by factors that were fitted to the other sources of the file alone.
func Backtest(ctx context.Context, file io.Reader, t *Table, leaveOut bool) (*Backtested, error) {
	anchors, err := readAnchors(file)
	if err != nil {
		return nil, err
	}
	f, err := fittedFactors()
	if err != nil {
		return nil, err
	}
	trials, reasons := setups(anchors, t)
	values := map[string]values{} // by source
	if leaveOut {
		if values, err = fitWithout(ctx, trials, f.values); err != nil {
			return nil, err
		}
	}
	b := &Backtested{Version: version}
	for i := range anchors {
		row := tested{ID: anchors[i].id, Metric: anchors[i].metric, Measured: anchors[i].value, Reason: reasons[i]}
		if trial := trials[i]; trial != nil {
			with := *f
			if leaveOut {
				with.values = values[anchors[i].source]
			}
			row.predict(trial, &with)
			row.Fitted = !leaveOut && f.fitted[row.ID]
		}
		b.Rows = append(b.Rows, row)
	}
	b.summarise()
	return b, ctx.Err()
}

// setups makes trials of anchors; where that cannot be, there is a reason instead.
func setups(anchors []anchor, t *Table) (trials []*trial, reasons []string) {
	shapes := map[string]*Shape{}
	trials, reasons = make([]*trial, len(anchors)), make([]string, len(anchors))
	for i := range anchors {
		for _, name := range []string{anchors[i].model, anchors[i].model + blockRelease[anchors[i].model]} {
			if shapes[name] == nil {
				shapes[name], _ = Model(name, nil) // an unknown one is a reason
			}
		}
		trial, err := anchors[i].setup(t, shapes)
		if err != nil {
			reasons[i] = err.Error()
			continue
		}
		trials[i] = trial
	}
	return trials, reasons
}

// predict fills in a row.
func (row *tested) predict(t *trial, f *calibration) {
	value, limit := t.predict(&f.values)
	row.Class, row.LimitedBy = t.class, limit
	switch {
	case row.Measured <= 0:
		row.Reason = "nothing was measured: it is 0"
		return
	case math.IsNaN(value) || value <= 0 || value > math.MaxFloat32 || value < 1/math.MaxFloat32 || row.Measured < 1/math.MaxFloat32:
		row.Reason = "no prediction of this metric: " + limit
		return
	}
	e := f.inverse(value, t.class)
	if t.time() {
		e = f.estimate(value, t.class)
	}
	off := 100 * (value/row.Measured - 1)
	row.Predicted, row.Low, row.High, row.Error = &e.Value, &e.Low, &e.High, &off
	row.Inside = row.Measured >= e.Low && row.Measured <= e.High
	row.Extrapolated = len(f.beyond(t.decode, int(or(t.context, 0)), or(t.concurrency, 0))) > 0
}

// summarise adds up the rows by class, and all of them.
func (b *Backtested) summarise() {
	var classes []string
	for _, row := range b.Rows {
		if row.Predicted != nil && !slices.Contains(classes, row.Class) {
			classes = append(classes, row.Class)
		}
	}
	slices.Sort(classes)
	for _, class := range append(classes, "all") {
		b.Summary = append(b.Summary, b.summary(class))
	}
}

func (b *Backtested) summary(class string) summary {
	s := summary{Class: class}
	var errors, widths []float64
	inside := 0
	for _, row := range b.Rows {
		if class != "all" && row.Class != class {
			continue
		}
		s.Rows++
		if row.Predicted == nil {
			continue
		}
		off := math.Abs(*row.Error)
		errors, widths = append(errors, off), append(widths, *row.High / *row.Low)
		if off >= s.Worst {
			s.Worst, s.WorstID = off, row.ID
		}
		if row.Inside {
			inside++
		}
	}
	s.Predicted = len(errors)
	if s.Predicted > 0 {
		s.Median, s.Width = median(errors), median(widths)
		s.Inside = 100 * float64(inside) / float64(s.Predicted)
	}
	return s
}
