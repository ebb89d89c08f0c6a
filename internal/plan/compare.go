package plan

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Comparison is plans of one request side by side, as JSON.
type Comparison struct {
	Version int     `json:"version"`
	Plans   []*Plan `json:"plans"`
	Prices  []price `json:"price_of_independence"`
}

// price is what it costs not to have the fastest of the plans: how many times as long, and how much more for as many tokens a second.
type price struct {
	On      string   `json:"on"`
	Against string   `json:"against"`
	TPOT    float64  `json:"tpot_ratio"`
	TTFT    float64  `json:"ttft_ratio"`
	Devices float64  `json:"devices_for_the_same_tokens"`
	Watts   *float64 `json:"watts_for_the_same_tokens"` // null: not known of both
	Dollars *float64 `json:"usd_per_m_output_ratio"`    // likewise
	Limited string   `json:"limited_by"`                // what would have to be better
	Extra   float64  `json:"extra_ms_per_token"`        // against the fastest
	Certain bool     `json:"intervals_apart"`           // of the times per token
}

// Compare sets plans against the fastest of those that fit.
func Compare(plans []*Plan) *Comparison {
	c := &Comparison{Version: version, Plans: plans, Prices: []price{}}
	var best *Plan
	for _, p := range plans {
		if p.Fits && (best == nil || p.TPOT.Value < best.TPOT.Value) {
			best = p
		}
	}
	for _, p := range plans {
		if !p.Fits || p == best {
			continue
		}
		scale := best.Output.Value / p.Output.Value
		q := price{
			On: p.On, Against: best.On, TPOT: p.TPOT.Value / best.TPOT.Value, TTFT: p.TTFT.Value / best.TTFT.Value,
			Devices: float64(p.Chips) * scale, Limited: p.Limited, Extra: p.TPOT.Value - best.TPOT.Value,
			Certain: p.TPOT.Low > best.TPOT.High,
		}
		if p.Watts > 0 && best.Watts > 0 {
			watts := p.Watts * scale
			q.Watts = &watts
		}
		if p.PerOutput.Value > 0 && best.PerOutput.Value > 0 {
			dollars := p.PerOutput.Value / best.PerOutput.Value
			q.Dollars = &dollars
		}
		c.Prices = append(c.Prices, q)
	}
	return c
}

// Text writes a comparison for people.
func (c *Comparison) Text(w io.Writer) error {
	var t text
	for i, p := range c.Plans {
		t.wrap(fmt.Sprintf("%c: ", 'A'+i), fmt.Sprintf("%s on %s", p.Model, p.On))
		if p.Fits {
			t.wrap("   ", fmt.Sprintf("%s; limited by %s", p.Layout, p.Limited))
		} else {
			t.wrap("   ", "does not fit: "+p.Why)
		}
	}
	t.line("")
	tw := tabwriter.NewWriter(&t, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\tper token\tto the first\ttokens/s\tat most\twatts\tUSD per M output")
	for i, p := range c.Plans {
		if p.Fits {
			fmt.Fprintf(tw, "%c\t%s\t%s\t%s\t%d\t%s\t%s\n", 'A'+i, p.TPOT.time(), p.TTFT.time(), p.Output.unit(""), p.Most, orUnknown(p.Watts), orUnknown(p.PerOutput.Value))
		}
	}
	tw.Flush()
	for _, q := range c.Prices {
		t.line("")
		t.line("%s", q.sentence())
	}
	for i, p := range c.Plans {
		t.list(fmt.Sprintf("%c assumed", 'A'+i), p.Assumed)
		t.list(fmt.Sprintf("%c beyond what was measured", 'A'+i), p.Extrapolate)
	}
	return t.to(w)
}

func orUnknown(x float64) string {
	if x == 0 {
		return "not known"
	}
	return digits(x)
}

// times is a ratio to two places.
func times(x float64) string {
	if x < 10 {
		return fmt.Sprintf("%.2f", x)
	}
	return digits(x)
}

// sentence is the price of independence in words.
func (q *price) sentence() string {
	s := fmt.Sprintf("Price of independence of %s against %s: %s more for each token (%s times as long), %s times as long to the first; %s devices for as many tokens a second",
		q.On, q.Against, msText(q.Extra), times(q.TPOT), times(q.TTFT), digits(q.Devices))
	if q.Watts != nil {
		s += fmt.Sprintf(", at %s W", digits(*q.Watts))
	}
	if q.Dollars != nil {
		s += fmt.Sprintf("; a token costs %s times as much", times(*q.Dollars))
	} else {
		s += "; prices are not known of both"
	}
	s += ". It is limited by " + q.Limited + "."
	if !q.Certain {
		s += " The intervals of the two overlap."
	}
	return s
}
