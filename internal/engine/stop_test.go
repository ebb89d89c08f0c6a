package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// The scripts: stops (one quoted string a line), feed (one chunk a line), flush.
func TestStopScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/stop", func(t *testing.T, path string) {
		m := newStopper(nil)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var out strings.Builder
			var lines [][]byte
			for line := range strings.Lines(d.Input) {
				s, err := strconv.Unquote(strings.TrimSpace(line))
				if err != nil {
					d.Fatalf(t, "%s: %v", line, err)
				}
				lines = append(lines, []byte(s))
			}
			switch d.Cmd {
			case "stops":
				m = newStopper(lines)
			case "feed":
				for _, chunk := range lines {
					send, found := m.feed(chunk)
					fmt.Fprintf(&out, "%q → %q", chunk, send)
					if found >= 0 {
						fmt.Fprintf(&out, ", stop string %d", found)
					}
					fmt.Fprintln(&out)
				}
			case "flush":
				fmt.Fprintf(&out, "%q\n", m.flush())
			}
			return out.String()
		})
	})
}

// naiveStop cuts a text at the stop string that is complete first, the longest of those complete there; it returns what is
// before it and its index, or the text and -1.
func naiveStop(text []byte, stops [][]byte) ([]byte, int) {
	for end := range len(text) + 1 {
		found := -1
		for i, s := range stops {
			if bytes.HasSuffix(text[:end], s) && (found < 0 || len(s) > len(stops[found])) {
				found = i
			}
		}
		if found >= 0 {
			return text[:end-len(stops[found])], found
		}
	}
	return text, -1
}

// naiveHold returns how many bytes at the end of text could be the beginning of a stop string.
func naiveHold(text []byte, stops [][]byte) int {
	for n := len(text); n > 0; n-- {
		for _, s := range stops {
			if len(s) > n && bytes.HasPrefix(s, text[len(text)-n:]) {
				return n
			}
		}
	}
	return 0
}

func randomStops(r *rand.Rand, letters int) [][]byte {
	stops := make([][]byte, r.IntN(5))
	for i := range stops {
		stops[i] = randomText(r, 1+r.IntN(6), letters)
	}
	return stops
}

func randomText(r *rand.Rand, n, letters int) []byte {
	text := make([]byte, n)
	for i := range text {
		text[i] = 'a' + byte(r.IntN(letters))
	}
	return text
}

// Whatever the chunks: what is out is the text without what may begin a stop string, and the end is the naive one.
func TestStopRandom(t *testing.T) {
	for seed := range uint64(5000) {
		r := rand.New(rand.NewPCG(seed, 2))
		letters := 1 + r.IntN(3)
		stops, text := randomStops(r, letters), randomText(r, r.IntN(30), letters)
		want, wantFound := naiveStop(text, stops)
		m := newStopper(stops)
		var out []byte
		var parts [][]byte
		found := -1
		for fed := 0; fed < len(text) && found < 0; {
			n := 1 + r.IntN(min(4, len(text)-fed))
			var send []byte
			send, found = m.feed(text[fed : fed+n])
			fed += n
			out = append(out, send...)
			parts = append(parts, send)
			_ = append(send, '!') // its owner may do so
			if hold := naiveHold(text[:fed], stops); found < 0 && len(out) != fed-hold {
				t.Fatalf("seed %d: %q after %q: %d bytes are out, want %d", seed, stops, text[:fed], len(out), fed-hold)
			}
		}
		if found >= 0 {
			if send, again := m.feed([]byte("aaa")); len(send) > 0 || again != found {
				t.Fatalf("seed %d: %q comes out after the stop", seed, send)
			}
		}
		out = append(out, m.flush()...)
		if !bytes.Equal(out, want) || found != wantFound {
			t.Fatalf("seed %d: stops %q text %q: %q and %d, want %q and %d", seed, stops, text, out, found, want, wantFound)
		}
		if joined := bytes.Join(parts, nil); !bytes.HasPrefix(want, joined) {
			t.Fatalf("seed %d: what was sent has changed since: %q", seed, joined)
		}
	}
}

// A long stop string and a text that nearly matches it over and over: quadratic work would take minutes here.
func TestStopIsLinear(t *testing.T) {
	long := bytes.Repeat([]byte("a"), maxStopBytes-1)
	m := newStopper([][]byte{append(long, 'b')})
	begin := time.Now()
	out := 0
	for range 4 << 20 / 4 {
		send, found := m.feed([]byte("aaaa"))
		if found >= 0 {
			t.Fatal("found")
		}
		out += len(send)
	}
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("4 MiB took %v", took)
	}
	if want := 4<<20 - len(long); out != want {
		t.Errorf("%d bytes out, want %d", out, want)
	}
}
