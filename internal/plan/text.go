package plan

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
)

// columns is how wide a plan's text is at most.
const columns = 100

// Text writes a plan for people.
func (p *Plan) Text(w io.Writer) error {
	var t text
	t.line("%s on %s", p.Model, p.On)
	if !p.Fits {
		t.line("It does not fit: %s.", p.Why)
		t.bars("memory of the fullest device", p.Memory, p.Capacity, bytesText)
		t.list("assumed", p.Assumed)
		return t.to(w)
	}
	t.line("It fits: %s. Sequences of %d tokens at once, at most: %d.", p.Layout, p.In+p.Out, p.Most)
	if p.Why != "" {
		t.line("But %s.", p.Why)
	}
	t.line("")
	t.summary(p)
	t.bars("where the time of a token goes, "+msText(total(p.Time)), p.Time, total(p.Time), msText)
	t.bars("memory of the fullest device", p.Memory, p.Capacity, bytesText)
	if len(p.Host) > 0 {
		t.bars("elsewhere", p.Host, total(p.Host), bytesText)
	}
	t.curve(p)
	t.percentiles(p.Percentiles)
	t.list("assumed", p.Assumed)
	t.list("beyond what was measured", p.Extrapolate)
	t.list("figures of the hardware", p.Sources)
	return t.to(w)
}

// text is lines that are being written.
type text struct{ strings.Builder }

func (t *text) to(w io.Writer) error {
	_, err := io.WriteString(w, t.String())
	return err
}

// line writes a sentence, in several lines where it is too long.
func (t *text) line(format string, args ...any) {
	t.wrap("", fmt.Sprintf(format, args...))
}

// wrap breaks a sentence at blanks; all lines but the first are set in.
func (t *text) wrap(mark, sentence string) {
	width := len(mark)
	t.WriteString(mark)
	for i, word := range strings.Fields(sentence) {
		n := len([]rune(word))
		switch {
		case i == 0:
		case width+1+n > columns:
			t.WriteString("\n  ")
			width = 2
		default:
			t.WriteString(" ")
			width++
		}
		t.WriteString(word)
		width += n
	}
	t.WriteString("\n")
}

func (t *text) summary(p *Plan) {
	w := tabwriter.NewWriter(t, 0, 0, 2, ' ', 0)
	row := func(name string, value, note string) { fmt.Fprintf(w, "%s\t%s\t%s\n", name, value, note) }
	load := fmt.Sprintf("%d in, %d out, %d at once", p.In, p.Out, p.Concurrency)
	if p.Rate > 0 {
		load += fmt.Sprintf(", %.3g requests/s", p.Rate)
	}
	row("load", load, "")
	row("time to first token", p.TTFT.time(), "")
	row("time per output token", p.TPOT.time(), "limited by "+p.Limited)
	row("output tokens/s", p.Output.unit(""), "")
	row("prompt tokens/s, at most", p.Prefill.unit(""), "")
	if p.PerOutput.Value > 0 {
		row("USD per million output tokens", p.PerOutput.unit(""), fmt.Sprintf("%.4g USD an hour", p.Hourly))
		row("USD per million prompt tokens", p.PerInput.unit(""), "read and nothing else")
	}
	if p.Watts > 0 {
		row("watts", digits(p.Watts), fmt.Sprintf("%.3g J a token", p.Watts/p.Output.Value))
	}
	w.Flush()
	t.line("Behind each figure is the interval that four of five measurements lie in.")
}

// time is an estimate in milliseconds with its interval, in seconds where it is long.
func (e Estimate) time() string {
	if e.Value < 10_000 {
		return e.unit("ms")
	}
	return Estimate{e.Value / 1000, e.Low / 1000, e.High / 1000}.unit("s")
}

// unit is an estimate with its interval.
func (e Estimate) unit(unit string) string {
	if unit != "" {
		unit = " " + unit
	}
	return fmt.Sprintf("%s%s (%s-%s)", digits(e.Value), unit, digits(e.Low), digits(e.High))
}

// digits is a figure to two or three places that mean something.
func digits(x float64) string {
	switch {
	case x == 0 || math.IsNaN(x) || math.IsInf(x, 0):
		return fmt.Sprint(x)
	case math.Abs(x) >= 100:
		unit := math.Pow(10, math.Floor(math.Log10(math.Abs(x)))-2)
		return fmt.Sprintf("%.0f", math.Round(x/unit)*unit)
	case math.Abs(x) >= 10:
		return fmt.Sprintf("%.0f", x)
	case math.Abs(x) >= 1:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2g", x)
}

func total(parts []Part) (sum float64) {
	for _, p := range parts {
		sum += p.Value
	}
	return sum
}

func bytesText(x float64) string {
	switch {
	case x >= 1e12:
		return fmt.Sprintf("%.2f TB", x/1e12)
	case x >= 1e9:
		return fmt.Sprintf("%.1f GB", x/1e9)
	}
	return fmt.Sprintf("%.1f MB", x/1e6)
}

func msText(x float64) string {
	if x < 10_000 {
		return digits(x) + " ms"
	}
	return digits(x/1000) + " s"
}

// bars draws parts of a whole.
func (t *text) bars(title string, parts []Part, whole float64, value func(float64) string) {
	if whole <= 0 {
		return
	}
	t.line("")
	t.line("%s", title)
	for _, p := range parts {
		n := int(math.Round(40 * math.Min(1, p.Value/whole)))
		fmt.Fprintf(t, "  %-32s %10s  %s\n", p.Name, value(p.Value), strings.Repeat("█", n))
	}
}

// curve is latency and throughput by concurrency.
func (t *text) curve(p *Plan) {
	if len(p.Curve) < 2 {
		return
	}
	t.line("")
	t.line("by sequences at once, in this layout")
	w := tabwriter.NewWriter(t, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "  at once\tms per token\tms to first\ttokens/s\tUSD per M\t\n")
	for _, c := range p.Curve {
		dollars, note := "", ""
		if c.Dollars > 0 {
			dollars = digits(c.Dollars)
		}
		if !c.Fits {
			note = "  does not fit"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", c.Concurrency, digits(c.TPOT.Value), digits(c.TTFT.Value), digits(c.Output.Value), dollars, note)
	}
	w.Flush()
}

func (t *text) percentiles(q *Percentiles) {
	if q == nil {
		return
	}
	t.line("")
	t.line("Simulated arrivals at random, %d requests in %s s of the service:", q.Requests, digits(q.Simulation))
	w := tabwriter.NewWriter(t, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "  ms\tmedian\t90 %%\t99 %%\t\n")
	fmt.Fprintf(w, "  to first token\t%s\t%s\t%s\t\n", digits(q.TTFT50), digits(q.TTFT90), digits(q.TTFT99))
	fmt.Fprintf(w, "  per token\t%s\t%s\t%s\t\n", digits(q.TPOT50), digits(q.TPOT90), digits(q.TPOT99))
	w.Flush()
	t.line("Busy %.0f %% of the time, %s sequences in a batch on average.", 100*q.Busy, digits(q.Batch))
	if q.Scaled > 1 {
		t.line("One of %d equal replicas was simulated with its share of the arrivals.", q.Scaled)
	}
	if q.Saturated {
		t.line("It is saturated: the queue grows without end.")
	}
}

func (t *text) list(title string, sentences []string) {
	if len(sentences) == 0 {
		return
	}
	t.line("")
	t.line("%s", title)
	for _, s := range sentences {
		t.wrap("- ", s)
	}
}

// Text writes a backtest as rows of CSV, then a summary by class.
func (b *Backtested) Text(w io.Writer) error {
	c := csv.NewWriter(w)
	c.Write([]string{"id", "class", "metric", "measured", "predicted", "low80", "high80", "error_pct", "inside", "limited_by", "extrapolated", "fitted", "reason"})
	figure := func(x *float64) string {
		if x == nil {
			return ""
		}
		return strconv.FormatFloat(*x, 'g', 4, 64)
	}
	for _, r := range b.Rows {
		c.Write([]string{
			r.ID, r.Class, r.Metric, figure(&r.Measured), figure(r.Predicted), figure(r.Low), figure(r.High), figure(r.Error),
			strconv.FormatBool(r.Inside), r.LimitedBy, strconv.FormatBool(r.Extrapolated), strconv.FormatBool(r.Fitted), r.Reason,
		})
	}
	c.Write(nil)
	c.Write([]string{"class", "rows", "n", "median_abs_pct", "worst", "worst_id", "inside_pct", "median_width"})
	for _, s := range b.Summary {
		c.Write([]string{
			s.Class, strconv.Itoa(s.Rows), strconv.Itoa(s.Predicted), figure(&s.Median), figure(&s.Worst), s.WorstID, figure(&s.Inside), figure(&s.Width),
		})
	}
	c.Flush()
	return c.Error()
}
