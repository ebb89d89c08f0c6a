package plan

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
)

//go:embed report.html.tmpl
var reportPage string

// HTML writes plans of one request as a page that needs nothing else: for whoever signs the purchase.
func HTML(w io.Writer, plans []*Plan) error {
	functions := template.FuncMap{
		"digits": digits, "bytes": bytesText, "ms": msText, "total": total, "letter": letter,
		"share":    func(part, whole float64) string { return fmt.Sprintf("%.3f", 100*part/math.Max(whole, 1e-300)) },
		"colour":   func(i int) string { return palette[i%len(palette)] },
		"estimate": func(e Estimate) string { return fmt.Sprintf("%s to %s", digits(e.Low), digits(e.High)) },
		"times":    func(e Estimate) string { return fmt.Sprintf("%s to %s", msText(e.Low), msText(e.High)) },
	}
	t, err := template.New("report").Funcs(functions).Parse(reportPage)
	if err != nil {
		return err
	}
	c := Compare(plans)
	page := struct {
		*Comparison
		First             *Plan
		Sentences         []string
		Latency, Cost     template.HTML
		HasCost, Together bool
	}{Comparison: c, First: plans[0], Together: len(plans) > 1}
	for _, q := range c.Prices {
		page.Sentences = append(page.Sentences, q.sentence())
	}
	page.Latency = latencyChart(plans)
	page.Cost, page.HasCost = costChart(plans)
	return t.Execute(w, page)
}

// palette holds colours that are told apart in light and dark, and by the colour-blind.
var palette = [...]string{"#3b7dd8", "#e08a1e", "#2f9e6e", "#b3508f", "#7a6ff0", "#8a8f98", "#c9463d", "#4aa3b8", "#a88b2f"}

func letter(i int) string { return string(rune('A' + i)) }

// chart is a plot with logarithmic axes.
type chart struct {
	strings.Builder
	low, high [2]float64 // of x and y
}

const (
	chartWide, chartHigh      = 640, 340
	chartLeft, chartBottom    = 64, 48
	chartRight, chartTop      = 20, 16
	plotWide, plotHigh        = chartWide - chartLeft - chartRight, chartHigh - chartTop - chartBottom
	tickLabel, axisLabel, dot = 18, 40, 3
)

// fit widens the axes to a point.
func (c *chart) fit(x, y float64) {
	for i, v := range [...]float64{x, y} {
		if v <= 0 || math.IsInf(v, 0) || math.IsNaN(v) {
			continue
		}
		if c.low[i] == 0 || v < c.low[i] {
			c.low[i] = v
		}
		c.high[i] = math.Max(c.high[i], v)
	}
}

// at is where a point lies on the picture.
func (c *chart) at(x, y float64) string {
	place := func(i int, v float64) float64 {
		span := math.Log(c.high[i] / c.low[i])
		if span == 0 {
			return 0.5
		}
		return math.Log(math.Max(v, c.low[i])/c.low[i]) / span
	}
	return fmt.Sprintf("%.1f,%.1f", chartLeft+plotWide*place(0, x), chartTop+plotHigh*(1-place(1, y)))
}

// axes draws grid and labels.
func (c *chart) axes(title, xName, yName string) {
	fmt.Fprintf(c, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s"><g class="grid">`, chartWide, chartHigh, template.HTMLEscapeString(title))
	for i := range 2 {
		for _, v := range ticks(c.low[i], c.high[i]) {
			var x, y float64
			if i == 0 {
				fmt.Sscanf(c.at(v, c.low[1]), "%f,%f", &x, &y)
				fmt.Fprintf(c, `<path d="M%.1f %dV%d"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`, x, chartTop, chartTop+plotHigh, x, chartTop+plotHigh+tickLabel, tick(v))
				continue
			}
			fmt.Sscanf(c.at(c.low[0], v), "%f,%f", &x, &y)
			fmt.Fprintf(c, `<path d="M%d %.1fH%d"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`, chartLeft, y, chartLeft+plotWide, chartLeft-6, y+4, tick(v))
		}
	}
	fmt.Fprintf(c, `</g><text x="%d" y="%d" text-anchor="middle">%s</text>`, chartLeft+plotWide/2, chartTop+plotHigh+axisLabel, xName)
	fmt.Fprintf(c, `<text transform="translate(14 %d) rotate(-90)" text-anchor="middle">%s</text>`, chartTop+plotHigh/2, yName)
}

// tick is a round number in few letters.
func tick(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%gM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%gk", v/1e3)
	}
	return fmt.Sprintf("%g", v)
}

// ticks are round numbers between two.
func ticks(low, high float64) (list []float64) {
	if low <= 0 || high < low {
		return nil
	}
	steps := []float64{1, 2, 5}
	if high/low > 1000 {
		steps = steps[:1]
	}
	for decade := math.Pow(10, math.Floor(math.Log10(low))); decade <= high; decade *= 10 {
		for _, s := range steps {
			if v := s * decade; v >= low*0.999 && v <= high*1.001 {
				list = append(list, v)
			}
		}
	}
	return list
}

// line draws a line through points, with a dot on each.
func (c *chart) line(colour string, points []string) {
	fmt.Fprintf(c, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`, strings.Join(points, " "), colour)
	for _, p := range points {
		x, y, _ := strings.Cut(p, ",")
		fmt.Fprintf(c, `<circle cx="%s" cy="%s" r="%d" fill="%s"/>`, x, y, dot, colour)
	}
}

func (c *chart) end() template.HTML { return template.HTML(c.String() + "</svg>") }

// fitting are the points of a plan's curve that fit.
func fitting(p *Plan) (list []Point) {
	for _, point := range p.Curve {
		if point.Fits {
			list = append(list, point)
		}
	}
	return list
}

// latencyChart is time per token against concurrency, with the interval around it.
func latencyChart(plans []*Plan) template.HTML {
	var c chart
	for _, p := range plans {
		for _, point := range fitting(p) {
			c.fit(float64(point.Concurrency), point.TPOT.Low)
			c.fit(float64(point.Concurrency), point.TPOT.High)
		}
	}
	if c.high[0] == 0 {
		return ""
	}
	c.axes("time per output token against sequences at once", "sequences at once", "ms per output token")
	for i, p := range plans {
		var up, down, middle []string
		for _, point := range fitting(p) {
			x := float64(point.Concurrency)
			up = append(up, c.at(x, point.TPOT.High))
			down = append([]string{c.at(x, point.TPOT.Low)}, down...)
			middle = append(middle, c.at(x, point.TPOT.Value))
		}
		colour := palette[i%len(palette)]
		fmt.Fprintf(&c, `<polygon points="%s %s" fill="%s" opacity="0.16"/>`, strings.Join(up, " "), strings.Join(down, " "), colour)
		c.line(colour, middle)
	}
	return c.end()
}

// costChart is the price of a token against how many there are in a second.
func costChart(plans []*Plan) (template.HTML, bool) {
	var c chart
	for _, p := range plans {
		for _, point := range fitting(p) {
			if point.Dollars > 0 {
				c.fit(point.Output.Value, point.Dollars)
			}
		}
	}
	if c.high[1] == 0 {
		return "", false
	}
	c.axes("price of a million output tokens against tokens a second", "output tokens a second", "USD per million output tokens")
	for i, p := range plans {
		var points []string
		for _, point := range fitting(p) {
			if point.Dollars > 0 {
				points = append(points, c.at(point.Output.Value, point.Dollars))
			}
		}
		if len(points) > 0 {
			c.line(palette[i%len(palette)], points)
		}
	}
	return c.end(), true
}
