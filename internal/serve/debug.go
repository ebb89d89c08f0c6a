package serve

import (
	"maps"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"baleen/internal/engine"
)

// live is what /debug/live tells once a second, for the page's live panel. Rates and times are those of the last second,
// tokens of the cache those since the start, sizes are in bytes.
type live struct {
	TokensS float64            `json:"tokens_s"` // of answers
	PromptS float64            `json:"prompt_tokens_s"`
	MSBy    map[string]float64 `json:"ms_by"` // ms per batch, by part
	Running int                `json:"running"`
	Waiting int                `json:"waiting"`

	ContextUsed int `json:"context_used"` // positions that are taken, in whole pages
	Context     int `json:"context"`      // positions that there is room for, all sequences together

	Drafted  uint64  `json:"draft_tokens"`     // guesses at next tokens that were verified, in the last second,
	Accepted float64 `json:"draft_acceptance"` // and the share of them that stood

	Cache  liveCache        `json:"cache"`
	Memory map[string]int64 `json:"memory"`
}

type liveCache struct {
	HitTokens  uint64 `json:"hit_tokens"`
	MissTokens uint64 `json:"miss_tokens"`
	Bytes      int64  `json:"bytes"`
	Limit      int64  `json:"limit"`
}

const (
	liveEvery = time.Second
	liveMost  = 64 // pages that watch at once
	pageSize  = 128
)

// moment is a snapshot of all that live is made from.
type moment struct {
	engine.Stats
	times map[string]time.Duration
	at    time.Time
}

func (o *Operation) moment(stats func() engine.Stats) moment {
	m := moment{Stats: stats(), at: time.Now()}
	if o.Times != nil {
		m.times = o.Times()
	}
	return m
}

// since tells what happened between two moments. Times are those of a batch, in which each stream that answers gets a token.
func (o *Operation) since(before, now moment) live {
	seconds := max(now.at.Sub(before.at).Seconds(), 1e-3)
	batches := max(float64(now.Batches-before.Batches), 1)
	ms := func(d time.Duration) float64 { return math.Round(d.Seconds()*1e7/batches) / 1e4 }
	rate := func(n uint64) float64 { return math.Round(float64(n)/seconds*10) / 10 }
	by := map[string]float64{"sample": ms(now.Sampling - before.Sampling)}
	for part, spent := range now.times {
		by[part] += ms(spent - before.times[part])
	}
	drafted, accepted := now.Drafted.Sum()-before.Drafted.Sum(), now.Accepted.Sum()-before.Accepted.Sum()
	return live{
		Drafted: drafted, Accepted: math.Round(float64(accepted)/float64(max(drafted, 1))*1e4) / 1e4,
		TokensS: rate(now.Answer - before.Answer),
		PromptS: rate(now.Prompt - before.Prompt),
		MSBy:    by,
		Running: now.Running, Waiting: now.Waiting,
		ContextUsed: (now.Pages - now.FreePages) * pageSize, Context: now.Pages * pageSize,
		Cache: liveCache{
			HitTokens: now.Cached, MissTokens: now.Prompt,
			Bytes: now.CheckpointBytes + int64(now.Remembered)*o.PageBytes, Limit: o.CacheBytes,
		},
		Memory: o.memory(&now.Stats),
	}
}

// memory is what the tiers hold now.
func (o *Operation) memory(now *engine.Stats) map[string]int64 {
	tiers := maps.Clone(o.Memory)
	if tiers == nil {
		tiers = map[string]int64{}
	}
	pages := int64(now.Remembered) * o.PageBytes // of the memory for state
	tiers["state"] -= pages
	tiers["cache"] = now.CheckpointBytes + pages
	tiers["disk"] = now.DiskBytes
	return tiers
}

// recall is how much of one prompt the cache had.
type recall struct {
	Request string    `json:"request"`
	At      time.Time `json:"at"`
	Prompt  int       `json:"prompt_tokens"`
	Cached  int       `json:"cached_tokens"`
	Awaited int       `json:"awaited_tokens"` // of these, how many another request was computing: this one waited for them
	Why     string    `json:"why,omitempty"`  // no more were cached
}

// recalls are those of the last answers.
type recalls struct {
	mu   sync.Mutex
	list []recall // the latest last
}

const mostRecalls = 100

func (r *recalls) add(one recall) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.list) == mostRecalls {
		r.list = slices.Delete(r.list, 0, 1)
	}
	r.list = append(r.list, one)
}

// cache answers /debug/cache: what the cache holds, and for the last answers how much of their prompts it had, and why not
// more.
func (g *guard) cache(stats func() engine.Stats) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		now := stats()
		g.recalls.mu.Lock()
		list := slices.Clone(g.recalls.list)
		g.recalls.mu.Unlock()
		slices.Reverse(list)
		writeJSON(w, http.StatusOK, map[string]any{
			"pages": now.Remembered, "page_bytes": g.PageBytes, "checkpoints": now.Checkpoints, "checkpoint_bytes": now.CheckpointBytes, "disk_bytes": now.DiskBytes,
			"hit_tokens": now.Cached, "awaited_tokens": now.Awaited, "miss_tokens": now.Prompt, "evicted_pages": now.Evicted,
			"files_read": now.Read, "files_written": now.Written, "files_refused": now.Refused, "files_unwritten": now.Unwritten,
			"answers": append([]recall{}, list...),
		})
	}
}

// live answers /debug/live: one JSON object a second, until the client goes or the server drains.
func (g *guard) live(stats func() engine.Stats) http.HandlerFunc {
	watchers := budget{limit: liveMost}
	return func(w http.ResponseWriter, r *http.Request) {
		if !watchers.take(1) {
			fail(w, r, &apiError{status: http.StatusServiceUnavailable, code: "overloaded", message: "too many pages watch: /debug/live: close one"})
			return
		}
		defer watchers.give(1)
		out := newSSE(w, g.StallTimeout)
		out.open()
		every := time.NewTicker(liveEvery)
		defer every.Stop()
		before := g.moment(stats)
		out.data(g.since(before, before))
		for out.err == nil {
			select {
			case <-every.C:
			case <-g.stopping:
				return
			case <-r.Context().Done():
				return
			}
			now := g.moment(stats)
			out.data(g.since(before, now))
			before = now
		}
	}
}
