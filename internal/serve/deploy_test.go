package serve

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"baleen/internal/engine"
)

// The dashboard and the alerts ask for metrics that there are, and every metric of the server's own is on the dashboard or in
// an alert, but for some that say the same in another form.
func TestDashboardAndMetricsAgree(t *testing.T) {
	m := newMetrics(func() engine.Stats { return engine.Stats{Drafts: true} })
	m.request("GET /x", 200, time.Second, 1, 1)
	m.ended(engine.Finish{Submitted: 1, Started: 2, First: 3, Ended: 4}, 1, 1)
	m.errors.WithLabelValues("busy").Inc()
	m.output.Inc()
	m.between.Observe(1)
	told := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^# TYPE (\w+) (\w+)$`).FindAllStringSubmatch(scrape(m), -1) {
		told[found[1]] = true
		if found[2] == "histogram" {
			told[found[1]+"_bucket"] = true
		}
	}
	used := map[string]bool{}
	for _, file := range []string{"grafana.json", "alerts.yaml"} {
		text, err := os.ReadFile("../../deploy/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\b(baleen|process|go)_\w+`).FindAllString(string(text), -1) {
			used[name] = true
			if !told[name] {
				t.Errorf("%s asks for %s, which the server does not tell", file, name)
			}
		}
	}
	same := []string{"baleen_http_request_seconds", "baleen_answer_seconds", "baleen_prompt_tokens", "baleen_answer_tokens", "baleen_prompt_tokens_total",
		"baleen_engine_batch_rows", "baleen_engine_submitted_total", "baleen_engine_refused_total", "baleen_engine_forward_seconds_total", "baleen_engine_sampling_seconds_total",
		"baleen_engine_cache_checkpoints", "baleen_engine_answer_tokens_total", "baleen_engine_cache_evicted_pages_total", "baleen_engine_cache_files_read_total",
		"baleen_engine_cache_files_written_total", "baleen_engine_cache_files_unwritten_total"}
	for name := range told {
		if regexp.MustCompile(`^baleen_.*[^t]$|^baleen_.*_total$`).MatchString(name) && !used[name] && !used[name+"_bucket"] && !slices.Contains(same, name) {
			t.Errorf("%s is nowhere on the dashboard", name)
		}
	}
}

func TestDashboardIsWhole(t *testing.T) {
	text, err := os.ReadFile("../../deploy/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Title  string
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
			GridPos struct{ X, Y, W, H int }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	ids := map[int]bool{}
	for _, p := range dashboard.Panels {
		if p.Title == "" || len(p.Targets) == 0 || p.GridPos.W == 0 || p.GridPos.X+p.GridPos.W > 24 || ids[p.ID] {
			t.Errorf("panel %+v", p)
		}
		ids[p.ID] = true
	}
	if dashboard.Title != "baleen" || len(ids) < 10 {
		t.Errorf("%q with %d panels", dashboard.Title, len(ids))
	}
}
