package serve

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"baleen/internal/engine"
)

// Between two moments: rates by the time between, times by batch.
func TestLiveIsOfTheLastSecond(t *testing.T) {
	o := Operation{Memory: map[string]int64{"weights": 7}}
	at := time.Unix(0, 0)
	before := moment{engine.Stats{Answer: 100, Prompt: 1000, Batches: 10, Sampling: time.Second}, map[string]time.Duration{"experts": time.Second}, at}
	now := moment{engine.Stats{Answer: 150, Prompt: 1500, Batches: 30, Sampling: 3 * time.Second, Running: 2, Waiting: 1, Cached: 40, Pages: 8, FreePages: 5},
		map[string]time.Duration{"experts": 2 * time.Second, "head": time.Second}, at.Add(2 * time.Second)}
	l := o.since(before, now)
	if l.TokensS != 25 || l.PromptS != 250 || l.MSBy["experts"] != 50 || l.MSBy["head"] != 50 || l.MSBy["sample"] != 100 ||
		l.Cache.HitTokens != 40 || l.Cache.MissTokens != 1500 || l.Running != 2 || l.Waiting != 1 || l.ContextUsed != 3*128 || l.Context != 8*128 || l.Memory["weights"] != 7 {
		t.Errorf("%+v", l)
	}
	now.Drafted, now.Accepted = engine.Places{40, 20}, engine.Places{36, 9}
	if l := o.since(before, now); l.Drafted != 60 || l.Accepted != 0.75 {
		t.Errorf("drafts: %+v", l)
	}
	if l := o.since(now, now); l.TokensS != 0 || l.MSBy["head"] != 0 {
		t.Errorf("nothing happened: %+v", l)
	}
}

// The stream begins at once, goes on, and ends when the server drains.
func TestLiveStream(t *testing.T) {
	r := newRig(t, nil)
	response, err := http.Get(r.http.URL + "/debug/live")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if kind := response.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("content type %q", kind)
	}
	lines := bufio.NewScanner(response.Body)
	events := 0
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var l map[string]any
		if err := json.Unmarshal([]byte(data), &l); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"tokens_s", "ms_by", "running", "waiting", "context_used", "context", "cache", "memory"} {
			if _, ok := l[name]; !ok {
				t.Errorf("no %s in %s", name, data)
			}
		}
		if events++; events == 2 {
			r.server.guard.stop()
		}
	}
	if events < 2 || events > 3 {
		t.Errorf("%d events", events)
	}
}
