package cpu

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"baleen/internal/op"
	"baleen/internal/quant"
)

var updateTraces = flag.Bool("update-traces", false, "write the routing traces that are made from a seed")

// trace is the experts that the tokens of a text chose: [token][layer][k].
type trace struct {
	name               string
	layers, experts, k int
	ids                []byte
}

func (r trace) tokens() int { return len(r.ids) / (r.layers * r.k) }

func (r trace) at(token, layer int) []byte { return r.ids[(token*r.layers+layer)*r.k:][:r.k] }

// traces are those of testdata/routing, see its README.
func traces(t *testing.T) (list []trace) {
	for _, name := range []string{"uniform", "zipf-0.5", "zipf-1.0", "drifting", "demo"} {
		data, err := os.ReadFile(filepath.Join("testdata", "routing", name+".trace"))
		if err != nil {
			t.Fatal(err)
		}
		r := trace{name: name}
		head, rest, _ := bytes.Cut(data, []byte("\n"))
		if _, err := fmt.Sscanf(string(head), "layers %d experts %d k %d", &r.layers, &r.experts, &r.k); err != nil {
			t.Fatal(err)
		}
		r.ids = rest
		list = append(list, r)
	}
	return list
}

// TestTraces: traces from a seed are what the seed gives.
func TestTraces(t *testing.T) {
	const tokens, layers, experts, k = 4000, 4, 64, 4
	for _, g := range []struct {
		name     string
		exponent float64
		drift    int // tokens after which a sixteenth of the experts change places
	}{{"uniform", 0, 0}, {"zipf-0.5", 0.5, 0}, {"zipf-1.0", 1, 0}, {"drifting", 1, 250}} {
		rng := rand.New(rand.NewPCG(1, uint64(len(g.name))))
		order := make([][]int, layers)
		for i := range order {
			order[i] = rng.Perm(experts)
		}
		data := fmt.Appendf(nil, "layers %d experts %d k %d\n", layers, experts, k)
		for token := range tokens {
			for _, order := range order {
				if g.drift > 0 && token%g.drift == 0 {
					for range experts / 16 {
						a, b := rng.IntN(experts), rng.IntN(experts)
						order[a], order[b] = order[b], order[a]
					}
				}
				for _, place := range choose(rng, experts, k, g.exponent) {
					data = append(data, byte(order[place]))
				}
			}
		}
		file := filepath.Join("testdata", "routing", g.name+".trace")
		if *updateTraces {
			if err := os.WriteFile(file, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %v, other than its seed gives: run with -update-traces", file, err)
		}
	}
}

// choose draws k different places, place i with a weight of (i+1)^-exponent.
func choose(rng *rand.Rand, n, k int, exponent float64) (places []int) {
	for len(places) < k {
		total := 0.0
		for i := range n {
			if !slices.Contains(places, i) {
				total += math.Pow(float64(i+1), -exponent)
			}
		}
		at := rng.Float64() * total
		for i := range n {
			if slices.Contains(places, i) {
				continue
			}
			if at -= math.Pow(float64(i+1), -exponent); at < 0 || i == n-1 {
				places = append(places, i)
				break
			}
		}
	}
	return places
}

// simulate runs a trace through the cache, without the reads, and counts them.
func simulate(r trace, slots int) (reads int) {
	rank := newRanking(float64(r.k) / float64(r.experts))
	c := &cache{readers: &readers{}, slots: make([]slot, slots), rank: rank}
	one := newTopology([]node{{}}, 1)
	c.changed, c.readers.wake = sync.NewCond(&c.mu), sync.NewCond(&c.readers.mu)
	flows := make([]*flow, r.layers)
	for i := range flows {
		tiny := func() *weight {
			return &weight{Buffer: op.Buffer{Format: quant.Format{Kind: quant.KindF32}, Parts: r.experts, Rows: 1, Cols: 1}, use: use{groups: 1}}
		}
		flows[i] = &flow{layer: c.layer(tiny(), tiny(), tiny()), topology: &one}
	}
	begin := make([]int32, r.experts+1)
	for token := range r.tokens() {
		c.begin(1)
		for l, f := range flows {
			active := make([]int32, 0, r.k)
			for _, id := range r.at(token, l) {
				active = append(active, int32(id))
			}
			slices.Sort(active)
			for expert := range r.experts {
				begin[expert+1] = begin[expert]
				if slices.Contains(active, int32(expert)) {
					begin[expert+1]++
				}
			}
			c.want(f, active, begin)
			for c.coming > 0 {
				for i := range c.slots {
					if c.slots[i].coming {
						c.arrived(i)
					}
				}
			}
			for _, expert := range active {
				c.done(f.layer, expert)
			}
			c.readers.queue, c.readers.head = c.readers.queue[:0], 0
		}
	}
	return int(c.misses)
}

// static is what the best set of experts reads that stays in memory throughout: each once, and all others whenever they
// are chosen.
func static(r trace, slots int) (reads int) {
	counts := make([]int, r.layers*r.experts)
	for token := range r.tokens() {
		for l := range r.layers {
			for _, id := range r.at(token, l) {
				counts[l*r.experts+int(id)]++
			}
		}
	}
	slices.Sort(counts)
	slices.Reverse(counts)
	for i, n := range counts {
		if i < slots {
			n = min(n, 1)
		}
		reads += n
	}
	return reads
}

// belady is what is read at least: the expert goes that is not wanted for the longest time.
func belady(r trace, slots int) (reads int) {
	when := make([][]int, r.layers*r.experts) // by expert: the times at which it is chosen
	for token := range r.tokens() {
		for l := range r.layers {
			for _, id := range r.at(token, l) {
				i := l*r.experts + int(id)
				when[i] = append(when[i], token*r.layers+l)
			}
		}
	}
	next := map[int]int{} // by expert in memory: when it is wanted next
	for now := range r.tokens() * r.layers {
		l := now % r.layers
		var wanted []int
		for _, id := range r.at(now/r.layers, l) {
			wanted = append(wanted, l*r.experts+int(id))
		}
		for _, i := range wanted {
			when[i] = when[i][1:]
			if _, here := next[i]; !here {
				reads++
				if len(next) == slots {
					last, at := -1, -1
					for other, t := range next {
						if t > at && !slices.Contains(wanted, other) {
							last, at = other, t
						}
					}
					delete(next, last)
				}
			}
			next[i] = math.MaxInt
			if len(when[i]) > 0 {
				next[i] = when[i][0]
			}
		}
	}
	return reads
}

// TestPolicy: what the cache reads is at most a tenth more than what the best static set in hindsight does.
func TestPolicy(t *testing.T) {
	for _, r := range traces(t) {
		for _, share := range []float64{0.25, 0.5, 0.75} {
			slots := int(share * float64(r.layers*r.experts))
			base := static(r, slots)
			got := simulate(r, slots)
			t.Logf("%-8s %3.0f %%: best static set %5d reads, Belady's optimum %.2f of that, ours %.3f",
				r.name, 100*share, base, float64(belady(r, slots))/float64(base), float64(got)/float64(base))
			if float64(got) > 1.1*float64(base) {
				t.Errorf("%s, %d slots: %d reads, the best static set %d", r.name, slots, got, base)
			}
		}
	}
}
