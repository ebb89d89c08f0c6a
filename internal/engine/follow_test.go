package engine

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"baleen/internal/deepseek"
	"baleen/internal/op"
)

// BenchmarkBurst is sixteen requests that come together, of 2,000 tokens each: the same ones, ones that have only the first
// 1,500 in common, and ones that have nothing in common. It tells the time to first tokens and that of all.
func BenchmarkBurst(b *testing.B) {
	const requests, length = 16, 2000
	tokenizer := tokenizerOf(b)
	story := tokenizer.Encode(strings.Repeat("Mia and Tom went to the park. They saw a big tree and a little dog. ", 200))[:length]
	for _, common := range []int{length, 1500, 0} {
		b.Run(fmt.Sprintf("common=%d", common), func(b *testing.B) {
			machine, err := Place(b.Context(), demoModel(b), newCPU(b, 0), op.Caps{Rows: 128, Slots: requests, Pages: 16 * requests, Context: 2048}, false, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer machine.Close()
			e := Start(machine, tokenizer, Options{})
			defer e.Close()
			var first, all []time.Duration
			for n := 0; b.Loop(); n++ {
				var mu sync.Mutex
				var running sync.WaitGroup
				for i := range requests {
					prompt := slices.Clone(story)
					if common < length {
						prompt[common] = int32(100 + i)
					}
					s, err := e.Submit(prompt, Limits{MaxTokens: 32, Salt: fmt.Sprint(n)})
					if err != nil {
						b.Fatal(err)
					}
					running.Go(func() {
						for _, ok := s.Next(b.Context()); ok; _, ok = s.Next(b.Context()) {
						}
						mu.Lock()
						defer mu.Unlock()
						f := s.Finish()
						first, all = append(first, f.First-f.Submitted), append(all, f.Ended-f.Submitted)
					})
				}
				running.Wait()
			}
			slices.Sort(first)
			slices.Sort(all)
			b.ReportMetric(first[len(first)/2].Seconds()*1e3, "ms-first-median")
			b.ReportMetric(first[len(first)-1].Seconds()*1e3, "ms-first-last")
			b.ReportMetric(all[len(all)-1].Seconds()*1e3, "ms-all-last")
			b.ReportMetric(float64(e.Stats().Cached)/float64(len(first)), "cached/request")
		})
	}
}

// TestFollowers: requests that begin alike and are there before the first batch give the same bits as alone, although all but
// the first of them compute only what is their own.
func TestFollowers(t *testing.T) {
	list := talks(tokenizerOf(t))
	want := alone(t, list)
	m := place(t, op.Caps{Rows: 64, Slots: 8, Pages: 40, Context: 512}, deepseek.Reference, "cpu")
	e := newEngine(m, tokenizerOf(t), Options{})
	defer e.Close()
	const longest = 6 // of the first story: 385 tokens. Those of request 4 are its first 256, of which the last must be run
	which := []int{longest, longest, 4, longest, 9}
	var streams []*Stream
	for _, i := range which {
		streams = append(streams, submit(t, e, list[i]))
	}
	e.begin()
	for i, awaited := range []int{0, 384, 128, 384, 0} {
		if got := collect(t, streams[i]); !reflect.DeepEqual(got, want[which[i]]) {
			t.Errorf("request %d: %v, alone %v", i, tokens(got), tokens(want[which[i]]))
		}
		if f := streams[i].Finish(); f.Awaited != awaited || f.Cached != awaited {
			t.Errorf("request %d: %+v, want %d tokens awaited", i, f, awaited)
		}
	}
	if n := e.Stats(); n.Awaited != 384+128+384 || n.Cached != n.Awaited {
		t.Errorf("%+v", n)
	}
}
