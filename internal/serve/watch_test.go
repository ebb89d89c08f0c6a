package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"baleen/internal/engine"
)

// A loop of any period up to the longest is found after the least number of rounds, whatever came before it; text in
// which nothing repeats for long is none.
func TestLoops(t *testing.T) {
	draw := rand.New(rand.NewPCG(1, 2))
	for period := 1; period <= longestPeriod+1; period++ {
		var l loop
		for range draw.IntN(300) {
			if l.token(int32(draw.IntN(1000))) {
				t.Fatal("noise was called a loop")
			}
		}
		found, body := 0, draw.Perm(period)
		for i := 1; i <= 40*period+200 && found == 0; i++ {
			if l.token(int32(2000 + body[i%period])) {
				found = i
			}
		}
		want := period + max(loopTokens, loopRounds*period)
		if period > longestPeriod {
			want = 0
		}
		if found != want {
			t.Errorf("period %d: found after %d tokens, expected %d", period, found, want)
		}
	}
}

func TestLeaks(t *testing.T) {
	for _, c := range []struct {
		pieces []string
		leaks  int
	}{
		{[]string{"plain text with < and | and ｜ in it"}, 0},
		{[]string{"<｜User｜>"}, 1},
		{[]string{"a<", "｜", "Assistant"}, 1},
		{[]string{"｜DS", "ML｜"}, 1},
		{[]string{"｜D", "S", "M", "L", "｜"}, 1},
		{[]string{"</｜DSML｜x>", " and ", "<｜User｜>"}, 2},
		{[]string{"<", "x", "｜"}, 0},
	} {
		var l leak
		n := 0
		for _, piece := range c.pieces {
			if l.text(piece) {
				n++
			}
		}
		if n != c.leaks {
			t.Errorf("%q: %d leaks, expected %d", c.pieces, n, c.leaks)
		}
	}
}

// A fall of acceptance is told once, and again only after it had recovered. Before there is anything to compare with there
// is none.
func TestAcceptance(t *testing.T) {
	var d drafting
	var drafted, accepted uint64
	feed := func(share float64) bool {
		drafted += draftWindow
		accepted += uint64(share * draftWindow)
		return d.look(drafted, accepted)
	}
	for i, step := range []struct {
		share float64
		told  bool
	}{{.8, false}, {.75, false}, {.7, false}, {.2, true}, {.2, false}, {.8, false}, {.1, true}, {.9, false}} {
		if told := feed(step.share); told != step.told {
			t.Errorf("step %d: told %v, expected %v", i, told, step.told)
		}
	}
	if d.look(drafted+1, accepted) {
		t.Error("a window of one draft was judged")
	}
}

// An answer that goes wrong in every way raises each sign once, in the metrics and in the log, and the log says nothing of
// its text.
func TestDriftIsTold(t *testing.T) {
	var log bytes.Buffer
	g, h := guarded(t, Operation{Log: slog.New(slog.NewTextHandler(&log, nil))}, nil)
	_ = h
	ctx := context.WithValue(context.Background(), visitKey{}, &visit{id: "req_1"})
	o := g.observe(ctx, 10, func(id int32) bool { return id == 7 })
	for range 500 {
		o.token(7)
	}
	o.text("secret <｜User｜>")
	o.end(engine.Finish{Submitted: 1, Started: 2, First: 3, Ended: time.Second, Err: errors.New("broken logits: token 1: found NaN: x")})
	text := scrape(g.metrics)
	for _, line := range []string{
		`baleen_drift_total{kind="loop"} 1`, `baleen_drift_total{kind="nan"} 1`, `baleen_drift_total{kind="control_token"} 1`, `baleen_drift_total{kind="acceptance"} 0`,
		`baleen_output_tokens_total 500`, `baleen_answers_total{reason="error"} 1`, `baleen_errors_total{kind="engine"} 1`,
		`baleen_time_to_first_token_seconds_count 1`, `baleen_time_per_output_token_seconds_count 499`, `baleen_prompt_tokens_total{cache="miss"} 10`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
	if n := strings.Count(log.String(), "msg=drift"); n != 3 || strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), "req_1") {
		t.Errorf("%d lines of drift in the log: %s", n, log.String())
	}
}

// When answers end, the engine's counts of first guesses are looked at: a fall is told in the metrics and in the log.
func TestAcceptanceIsWatched(t *testing.T) {
	var log bytes.Buffer
	g, _ := guarded(t, Operation{Log: slog.New(slog.NewTextHandler(&log, nil))}, nil)
	now := engine.Stats{Drafts: true}
	g.metrics = newMetrics(func() engine.Stats { return now })
	for i, step := range []struct {
		stood uint64
		told  int
	}{{400, 0}, {390, 0}, {50, 1}, {40, 1}, {400, 1}, {30, 2}} {
		now.Drafted[0], now.Accepted[0] = now.Drafted[0]+draftWindow, now.Accepted[0]+step.stood
		now.Drafted[1] += draftWindow // second guesses, which never stand, are not looked at
		g.observe(context.Background(), 10, func(int32) bool { return false }).end(engine.Finish{Submitted: 1, Started: 2, First: 3, Ended: 4})
		if line := fmt.Sprintf(`baleen_drift_total{kind="acceptance"} %d`, step.told); !strings.Contains(scrape(g.metrics), line+"\n") {
			t.Errorf("step %d: no line %q", i, line)
		}
	}
	text := scrape(g.metrics)
	for _, line := range []string{"baleen_draft_tokens_total 6144", "baleen_accepted_tokens_total 1310", fmt.Sprintf("baleen_draft_acceptance %v", 1310./6144), fmt.Sprintf("baleen_draft_first_acceptance %v", 1310./3072)} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
	if now.Drafts = false; strings.Contains(scrape(g.metrics), "_draft_") {
		t.Error("an engine without a drafter tells how many of its guesses stand")
	}
	if n := strings.Count(log.String(), "kind=acceptance"); n != 2 {
		t.Errorf("%d lines: %s", n, log.String())
	}
}

func scrape(m *metrics) string {
	w := httptest.NewRecorder()
	m.handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}
