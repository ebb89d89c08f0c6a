package plan

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

const anchorHead = "id,model,weights_format,engine,hardware,devices,hosts,layout,phase,input_tokens,output_tokens,context_tokens,concurrency,spec_tokens,spec_accept,ram_gib,disk_gb_s,expert_hit,metric,value,source,note,host_hardware\n"

func backtest(t testing.TB, rows string) (*Backtested, error) {
	t.Helper()
	table, err := Hardware()
	if err != nil {
		t.Fatal(err)
	}
	return Backtest(t.Context(), strings.NewReader(rows), table, false)
}

// TestLayouts: what published layouts say is read as it is meant.
func TestLayouts(t *testing.T) {
	for _, c := range []struct {
		layout, phase string
		want          cuts
	}{
		{"attention DP16, MoE EP16, LM head TP", "decode", cuts{dp: 16, ep: 16}},
		{"TP4 DP4 EP (16 dies)", "decode", cuts{tp: 4, dp: 4}},
		{"prefill 24 GPUs TP8; decode 8 GPUs EP8", "decode", cuts{ep: 8, chips: 8}},
		{"prefill 24 GPUs TP8; decode 8 GPUs EP8", "prefill", cuts{tp: 8, chips: 24}},
		{"prefill 1 node TP4 DP4 EP, decode 1 node TP1 DP16 EP (dies)", "decode", cuts{tp: 1, dp: 16, chips: 8}},
		{"decode EP144 DP144, 32 redundant experts", "decode", cuts{dp: 144, ep: 144}},
		{"", "decode", cuts{}},
	} {
		a := anchor{layout: c.layout, devices: 16, hosts: 2}
		if got := a.cutsOf(c.phase); got != c.want {
			t.Errorf("%s of %q: %+v, want %+v", c.phase, c.layout, got, c.want)
		}
	}
}

// TestUnusable: a row that cannot be predicted stays, with a reason; one that is no number is an error that says where.
func TestUnusable(t *testing.T) {
	row := func(model, hardware, devices, metric, value string) string {
		return fmt.Sprintf("r,%s,,vllm,%s,%s,,,decode,,,4096,8,0,,,,,%s,%s,s,,\n", model, hardware, devices, metric, value)
	}
	b, err := backtest(t, anchorHead+row("v4-pro", "B200 SXM 180GB", "8", "tpot_ms", "20")+row("gpt", "B200 SXM 180GB", "8", "tpot_ms", "20")+
		row("v4-pro", "Abacus", "8", "tpot_ms", "20")+row("v4-pro", "B200 SXM 180GB", "0", "tpot_ms", "20")+row("v4-pro", "B200 SXM 180GB", "8", "wings", "20")+row("v4-pro", "B200 SXM 180GB", "8", "tpot_ms", "0"))
	if err != nil {
		t.Fatal(err)
	}
	for i, reason := range []string{"", "no such model", "Abacus", "number of devices", "metric", "measured"} {
		if row := b.Rows[i]; (row.Predicted == nil) != (reason != "") || !strings.Contains(row.Reason, reason) {
			t.Errorf("row %d: %v, %q, want %q", i, row.Predicted, row.Reason, reason)
		}
	}
	if all := b.Summary[len(b.Summary)-1]; all.Rows != 6 || all.Predicted != 1 {
		t.Errorf("%+v", all)
	}
	for text, want := range map[string]string{
		"": "not readable", "a,b\n1,2\n": "no such column", anchorHead + row("v4-pro", "B200 SXM 180GB", "eight", "tpot_ms", "1"): "line 2, column devices",
		anchorHead + row("v4-pro", "B200 SXM 180GB", "8", "tpot_ms", "NaN"): "column value", anchorHead + "a,b\n": "not readable",
	} {
		if _, err := backtest(t, text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
}

// FuzzBacktest: no file of measurements brings the planner down, and what it says can be written as JSON.
func FuzzBacktest(f *testing.F) {
	file, err := os.ReadFile("testdata/anchors.csv")
	if err != nil {
		f.Fatal(err)
	}
	lines := strings.SplitAfter(string(file), "\n")
	for i := 1; i+1 < len(lines); i += 7 {
		f.Add(lines[0] + lines[i])
	}
	f.Add(anchorHead + "r,v3,,x,DGX Spark GB10 128GB,1e5,1e9,TP99 EP7 PP9 DP3,mixed,0,0,1e15,1e15,1e9,1e9,0,0,1,output_tok_s,1e-300,s,dspark,\n")
	f.Fuzz(func(t *testing.T, text string) {
		b, err := backtest(t, text)
		if err != nil {
			return
		}
		if _, err := json.Marshal(b); err != nil {
			t.Error(err)
		}
	})
}
