package plan

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// plans are of one request: two that fit, with and without a price, and one that does not.
func plans(t *testing.T) (list []*Plan) {
	t.Helper()
	for _, on := range []string{"16 x Ascend 950DT", "8 x B200", "8 x H100", "1 x RTX 5090 + 2 x EPYC 9755"} {
		p, err := Make(t.Context(), Request{Model: shape(t, "v4-pro"), Machine: machine(t, on), In: 8192, Out: 1024, Concurrency: 8})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

// TestText: what people read fits a terminal and says what was asked.
func TestText(t *testing.T) {
	list := plans(t)
	list[1].Model = "a" + strings.Repeat(" very long name", 20)
	var all strings.Builder
	for _, p := range list {
		if err := p.Text(&all); err != nil {
			t.Fatal(err)
		}
	}
	if err := Compare(append(list, list...)).Text(&all); err != nil {
		t.Fatal(err)
	}
	text := all.String()
	for line := range strings.SplitSeq(text, "\n") {
		if n := utf8.RuneCountInString(line); n > columns {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, want := range []string{
		"v4-pro on 16 x Ascend 950DT", "It fits", "It does not fit: ", "are missing on each of 8 x H100", "time per output token", "limited by", "routed experts",
		"USD per million output tokens", "no price of Ascend 950DT is known", "figures of the hardware", "Eric Xu keynote", "Price of independence of ", "prices are not known of both",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing of %q", want)
		}
	}
}

// TestHTML: the page is well formed, asks nobody for anything, and takes names for what they are.
func TestHTML(t *testing.T) {
	list := plans(t)
	list[0].On = `16 x <script>alert(1)</script>"&`
	var page bytes.Buffer
	if err := HTML(&page, list); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(page.String(), "<script") {
		t.Error("a name became a script")
	}
	text := page.String()
	for _, asks := range []string{"src=", "href=", "url(", "@import", "http:", "https:"} {
		if strings.Contains(text, asks) {
			t.Errorf("there is %q in the page", asks)
		}
	}
	if found := regexp.MustCompile(`\b(NaN|Inf)\b`).FindString(text); found != "" {
		t.Errorf("there is %s in the page", found)
	}
	for _, tag := range []string{"section", "svg", "figure", "div", "ul", "li", "p", "main", "html"} {
		if open, shut := strings.Count(text, "<"+tag+" ")+strings.Count(text, "<"+tag+">"), strings.Count(text, "</"+tag+">"); open != shut || open == 0 {
			t.Errorf("<%s> is opened %d times and shut %d times", tag, open, shut)
		}
	}
	if n := strings.Count(text, "<svg"); n != 2 {
		t.Errorf("%d pictures, want latency and cost", n)
	}
}

// TestCompare: the price of independence, by hand.
func TestCompare(t *testing.T) {
	fast := &Plan{On: "fast", Fits: true, Chips: 8, TPOT: Estimate{10, 8, 12}, TTFT: Estimate{100, 0, 0}, Output: Estimate{1000, 0, 0}, Watts: 8000, PerOutput: Estimate{2, 0, 0}}
	slow := &Plan{On: "slow", Fits: true, Chips: 16, TPOT: Estimate{25, 20, 30}, TTFT: Estimate{400, 0, 0}, Output: Estimate{500, 0, 0}, Watts: 4000, PerOutput: Estimate{3, 0, 0}, Limited: "links"}
	c := Compare([]*Plan{slow, fast, {On: "none"}})
	if len(c.Prices) != 1 {
		t.Fatalf("%d prices", len(c.Prices))
	}
	q := c.Prices[0]
	if q.On != "slow" || q.Against != "fast" || q.TPOT != 2.5 || q.TTFT != 4 || q.Devices != 32 || *q.Watts != 8000 || *q.Dollars != 1.5 || q.Extra != 15 || !q.Certain {
		t.Errorf("%+v", q)
	}
	if text := q.sentence(); !strings.Contains(text, "15 ms more for each token (2.50 times as long)") || strings.Contains(text, "overlap") {
		t.Error(text)
	}
	if data, err := json.Marshal(c); err != nil || !strings.Contains(string(data), `"price_of_independence":[{"on":"slow"`) {
		t.Errorf("%s %v", data, err)
	}
}

// TestFromBench: a report calibrates the machine that it is of.
func TestFromBench(t *testing.T) {
	report := `{"version":1,"cpu":"AMD EPYC","machine":"AMD EPYC | microcode 1 | kernel 2 | 2 cpus | 24 GiB","probe":{"read_gb_s_n":50,"bf16_gflops":400,"vnni_gops":800,"fma_gflops":200,"disk_gb_s":1.5},
	"rows":[{"phase":"decode","batch":1,"gb_s":40},{"phase":"decode","batch":1,"gb_s":45},{"phase":"decode","batch":1,"gb_s":35},{"phase":"decode","batch":4,"gb_s":5},
	{"phase":"decode","batch":1,"gb_s":15,"hit":0.5},{"phase":"decode","batch":1,"gb_s":10,"projected":true},{"phase":"prefill","batch":1,"gflops":240}]}`
	m, err := FromBench([]byte(report))
	if err != nil {
		t.Fatal(err)
	}
	c := m.Pools[0].Chip
	if c.Memory != 24*gib || c.Bandwidth != 50e9 || c.BF16 != 400e9 || c.INT8 != 800e9 || m.Disk != 1.5e9 || !c.Measured || c.ReachedMemory != 0.8 || c.ReachedCompute != 0.6 {
		t.Errorf("%+v, disk %v", c, m.Disk)
	}
	for _, bad := range []string{``, `[]`, `{"version":2}`, `{"version":1,"probe":{"read_gb_s_n":-1}}`, strings.ReplaceAll(report, "24 GiB", "")} {
		if _, err := FromBench([]byte(bad)); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40s: %v", bad, err)
		}
	}
}
