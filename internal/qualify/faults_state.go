//go:build faults

package qualify

import (
	"bytes"
	"math"
	"slices"
	"strings"

	"baleen/internal/device"
	"baleen/internal/op"
)

// compressorFaults are those of pooling.
func compressorFaults() []fault {
	return []fault{
		{name: "tail-pooled", about: "issue 3: the last token of a window is left out", at: is[op.Pool], after: poolAgain(poolFault{tokens: func(s *site, first, start, end int) (int, int) { return first, end - 1 }})},
		{name: "pool-reads-on", about: "1.1: the token behind a window takes part", at: is[op.Pool], after: poolAgain(poolFault{tokens: func(s *site, first, start, end int) (int, int) { return first, end + 1 }})},
		{name: "overlap-lost-in-decode", about: "B39: in runs of one row", at: is[op.Pool], after: poolAgain(poolFault{tokens: func(s *site, first, start, end int) (int, int) {
			if s.rows() == 1 {
				return start, end
			}
			return first, end
		}})},
		{name: "first-window-stale", about: "B45: the first window pools what the slot held before", at: is[op.Pool], after: poolAgain(poolFault{tokens: func(s *site, first, start, end int) (int, int) {
			if o := s.op.(op.Pool); start == 0 && o.Overlap {
				return -o.Ratio, end
			}
			return first, end
		}})},
		{name: "ape-from-run", about: "1.1: rows of the position bias count from the run's first token", at: is[op.Pool], after: poolAgain(poolFault{ape: func(s *site, p int) int {
			return p + int(s.args.Tables[op.Position][0])
		}})},
		{name: "first-window-zero", about: "B33: without lengths the first window is zeros", at: is[op.Pool], after: func(s *site) {
			o := s.op.(op.Pool)
			starts, cols := s.args.Tables[o.Start], s.cols(op.ID(o.Y))
			s.edit(op.ID(o.Y), func(y []float32) {
				for i, start := range starts {
					if start == 0 {
						clear(y[i*cols:][:cols])
					}
				}
			})
		}},
		{name: "frontier-bf16", about: "1.1: values and scores are kept in bfloat16", at: func(s *site) bool {
			o, ok := s.op.(op.Store)
			return ok && s.e.Buffer(op.ID(o.S)).Ring > 0 && s.e.Buffer(op.ID(o.S)).Row.Quantised == 0
		}, before: func(s *site) { s.edit(op.ID(s.op.(op.Store).X), inBF16) }},
		{name: "pool-max-missing", about: "3.4: exp without its largest argument taken off", at: is[op.Pool], after: poolAgain(poolFault{clip: 80})},
	}
}

// poolFault is how a window is pooled wrongly.
type poolFault struct {
	tokens func(s *site, first, start, end int) (int, int)
	ape    func(s *site, p int) int
	clip   float64

	maxOfWindow bool
}

func poolAgain(f poolFault) func(s *site) {
	return func(s *site) {
		o := s.op.(op.Pool)
		v := s.view()
		ape, width := v.numbers(o.APE, 0), s.cols(op.ID(o.Y))
		wide := len(ape) / o.Ratio
		y := s.floats(op.ID(o.Y))
		for i, slot := range v.table(o.Slot) {
			start := int(v.table(o.Start)[i])
			first, end := start, start+o.Ratio
			if o.Overlap {
				first = max(start-o.Ratio, 0)
			}
			if f.tokens != nil {
				first, end = f.tokens(s, first, start, end)
			}
			for j := range width {
				above, sum, most := 0.0, 0.0, math.Inf(-1)
				each := func(use func(z, u float64)) {
					for p := first; p < end; p++ {
						from := wide - width
						if p < start {
							from = 0
						}
						at := p
						if f.ape != nil {
							at = f.ape(s, p)
						}
						ring := s.e.Buffer(op.ID(o.Z)).Ring
						z := float64(v.entry(o.Z, slot, (p+ring)%ring)[from+j]) + float64(ape[(at+o.Ratio)%o.Ratio*wide+from+j])
						if f.clip != 0 {
							z = min(z, f.clip)
						}
						use(z, float64(v.entry(o.U, slot, (p+ring)%ring)[from+j]))
					}
				}
				each(func(z, _ float64) { most = max(most, z) })
				if f.maxOfWindow {
					most = math.Inf(-1)
					whole := first
					first = start
					each(func(z, _ float64) { most = max(most, z) })
					first = whole
				}
				each(func(z, u float64) {
					if z-most > 88 {
						above = math.NaN() // infinity over infinity in float32
					}
					sum += math.Exp(z - most)
					above += math.Exp(z-most) * u
				})
				y[i*width+j] = float32(above / sum)
			}
		}
		s.set(op.ID(o.Y), y)
	}
}

// stateFaults are those of what sequences remember.
func stateFaults() []fault {
	store := func(change func(s *site, o op.Store, old, now []byte)) (before, after func(s *site)) {
		return func(s *site) { s.kept = s.bytes(op.ID(s.op.(op.Store).S)) }, func(s *site) {
			o := s.op.(op.Store)
			now := s.bytes(op.ID(o.S))
			change(s, o, s.kept.([]byte), now)
			s.setBytes(op.ID(o.S), now)
		}
	}
	planted := func(name, about string, change func(s *site, o op.Store, old, now []byte)) fault {
		before, after := store(change)
		return fault{name: name, about: about, at: is[op.Store], before: before, after: after}
	}
	return []fault{
		planted("rejected-rows-kept", "B41: frontier rows older than 4 are not written again", func(s *site, o op.Store, old, now []byte) {
			s.rewritten(o, func(row []byte, was []byte, age int) {
				if age >= 4 && s.e.Buffer(op.ID(o.S)).Row.Quantised == 0 {
					copy(row, was)
				}
			}, old, now)
		}),
		planted("newest-rejected-kept", "B41: window rows of rejected tokens are not written again", func(s *site, o op.Store, old, now []byte) {
			s.rewritten(o, func(row []byte, was []byte, age int) {
				if age >= 0 {
					copy(row, was)
				}
			}, old, now)
		}),
		planted("slot-not-reset", "B45: a sequence in a used slot keeps the frontier row of position 0", func(s *site, o op.Store, old, now []byte) {
			b := s.e.Buffer(op.ID(o.S))
			s.used(o, func(slot int32) {
				if b.Ring > 0 {
					n := b.Row.Bytes()
					at := int(slot) * b.Ring * n
					copy(now[at:at+n], old[at:])
				}
			})
		}),
		planted("last-page-lost", "B49: what belongs to the last page of the pool is not written", func(s *site, o op.Store, old, now []byte) {
			if b := s.e.Buffer(op.ID(o.S)); b.PerPage > 0 {
				n := len(now) - b.PerPage*b.Row.Bytes()
				copy(now[n:], old[n:])
			}
		}),
		planted("last-page-wraps", "B49: what belongs to the last page of the pool lies in the first, too", func(s *site, o op.Store, old, now []byte) {
			if b := s.e.Buffer(op.ID(o.S)); b.PerPage > 0 {
				n := b.PerPage * b.Row.Bytes()
				if last := now[len(now)-n:]; !bytes.Equal(last, old[len(now)-n:]) {
					copy(now[:n], last)
				}
			}
		}),
		planted("row-written-beyond", "M: a store touches a byte of the row behind", func(s *site, o op.Store, old, now []byte) {
			b := s.e.Buffer(op.ID(o.S))
			if i := bytes.IndexFunc(now, func(rune) bool { return true }); i == 0 && len(now) > 2*b.Row.Bytes() {
				last := lastChanged(old, now) / b.Row.Bytes()
				if at := (last + 1) * b.Row.Bytes(); at < len(now) {
					now[at] ^= 1
				}
			}
		}),
	}
}

// reuseFaults are memory that serves two ends at a time.
func reuseFaults() []fault {
	return []fault{
		{name: "ring-too-short", about: "issue 3: a ring without room for the run: its slots are used again too early", at: is[op.Attend], before: func(s *site) {
			o := s.op.(op.Attend)
			b := s.e.Buffer(op.ID(o.Window))
			data, n := s.bytes(op.ID(o.Window)), b.Row.Bytes()
			for i, slot := range s.args.Tables[o.Slot] {
				p := int(s.args.Tables[o.Position][i]) // its row overwrites that of o.Span positions before
				if q := p - o.Span; q >= 0 {
					copy(data[(int(slot)*b.Ring+q%b.Ring)*n:][:n], data[(int(slot)*b.Ring+p%b.Ring)*n:][:n])
				}
			}
			s.setBytes(op.ID(o.Window), data)
		}},
		{name: "rows-of-previous-slot", about: "B46: the first row of a second sequence in a run is stored in the slot of the first", at: is[op.Store], before: func(s *site) {
			s.retable(s.op.(op.Store).Slot, func(slots []int32) {
				for i := len(slots) - 1; i > 0; i-- {
					if slots[i] != slots[i-1] {
						slots[i] = slots[i-1]
						return
					}
				}
			})
		}},
		{name: "scale-of-stored-row", about: "B07: of more than 8 stored rows the last has the scale of the first", at: is[op.Store], after: func(s *site) {
			o := s.op.(op.Store)
			b := s.e.Buffer(op.ID(o.S))
			slots, entries := s.args.Tables[o.Slot], s.args.Tables[o.Entry]
			if b.Row.Quantised == 0 || len(slots) <= 8 {
				return
			}
			codes := b.Row.Quantised
			if b.Row.Group == 32 {
				codes /= 2
			}
			data, n, last := s.bytes(op.ID(o.S)), b.Row.Bytes(), len(slots)-1
			from := placeOf(b, s.args.Pages, slots[0], int(entries[0])/o.Divide) * n
			to := placeOf(b, s.args.Pages, slots[last], int(entries[last])/o.Divide) * n
			data[to+codes] = data[from+codes]
			s.setBytes(op.ID(o.S), data)
		}},
		{name: "temp-aliased", about: "buffer reuse: the normed input of attention shares memory with what the expansion needs later", at: func(s *site) bool {
			n, ok := s.op.(op.RMSNorm)
			return ok && strings.HasSuffix(s.e.Buffer(op.ID(n.Y)).Name, "attn.in") && len(s.e.Ops) > 50
		}, after: func(s *site) {
			y := op.ID(s.op.(op.RMSNorm).Y)
			post := s.e.Lookup(strings.Replace(s.e.Buffer(y).Name, "attn.in", "hc_attn_post", 1))
			x := s.floats(y)
			s.edit(post, func(p []float32) { p[len(p)-1] = x[len(x)-1] })
		}},
		{name: "streams-handed-over-late", about: "buffer reuse: with more than one row the draft block sees the last row's streams of the run before", at: func(s *site) bool {
			n, ok := s.op.(op.RMSNorm)
			return ok && strings.HasPrefix(s.e.Buffer(op.ID(n.Y)).Name, "mtp.0.h") && len(s.e.Ops) > 5
		}, before: func(s *site) {
			x, cols := s.floats(op.ID(s.op.(op.RMSNorm).X)), s.cols(op.ID(s.op.(op.RMSNorm).X))
			mine := slices.Clone(x[len(x)-cols:])
			if old, ok := s.f.memory["streams"].([]float32); ok && len(x) > cols {
				copy(x[len(x)-cols:], old)
				s.set(op.ID(s.op.(op.RMSNorm).X), x)
			}
			s.f.memory["streams"] = mine
		}},
	}
}

func lastChanged(old, now []byte) int {
	for i := len(now) - 1; i > 0; i-- {
		if now[i] != old[i] {
			return i
		}
	}
	return 0
}

// rewritten calls use for rows of a ring that the run wrote at positions that were written before since the sequence
// began; age is how far the newest of those lies ahead.
func (s *site) rewritten(o op.Store, use func(row, was []byte, age int), old, now []byte) {
	b := s.e.Buffer(op.ID(o.S))
	if b.Ring == 0 {
		return
	}
	newest := map[int32]int{}
	for slot, n := range s.newest(o) {
		newest[slot] = n
	}
	for i, slot := range s.args.Tables[o.Slot] {
		p := int(s.args.Tables[o.Entry][i])
		if n, ok := newest[slot]; ok && p > 0 && p <= n {
			at := placeOf(b, nil, slot, p) * b.Row.Bytes()
			use(now[at:][:b.Row.Bytes()], old[at:], n-p)
		}
		if all := s.newest(o); p == 0 || p > all[slot] {
			all[slot] = p
		}
	}
}

// newest is the last position that was stored, by slot.
func (s *site) newest(o op.Store) map[int32]int {
	key := [2]any{"newest", device.Buffer(s.e.held[op.ID(o.S)])}
	m, ok := s.f.memory[key].(map[int32]int)
	if !ok {
		m = map[int32]int{}
		s.f.memory[key] = m
	}
	return m
}

// used calls f for slots in which the run begins a sequence and which had one before.
func (s *site) used(o op.Store, f func(slot int32)) {
	for i, slot := range s.args.Tables[o.Slot] {
		if _, before := s.newest(o)[slot]; s.args.Tables[o.Entry][i] == 0 && before {
			f(slot)
		}
		s.newest(o)[slot] = int(s.args.Tables[o.Entry][i])
	}
}

// transferFaults are those of uploads and downloads.
func transferFaults() []fault {
	return []fault{
		{name: "download-aligned", about: "downloads begin at multiples of 4", download: func(b op.Buffer, offset int64, data []byte) {
			if n := int(offset % 4); n != 0 && len(data) > n {
				copy(data[n:], slices.Clone(data))
			}
		}},
		{name: "download-tail", about: "the last bytes of a long download that are no whole 64 are not filled", download: func(_ op.Buffer, _ int64, data []byte) {
			if n := len(data); n > 4096 && n%64 != 0 {
				zero(data[n-n%64:])
			}
		}},
		{name: "upload-tail", about: "the last bytes of an upload that are no whole 64 are lost", fill: func(b op.Buffer, data []byte) {
			if n := len(data); b.Space == op.State && n%64 != 0 {
				zero(data[n-n%64:])
			}
		}},
		{name: "upload-stride", about: "R: of a ring the last row of each slot is not restored", fill: func(b op.Buffer, data []byte) {
			if n := b.Ring * b.Row.Bytes(); b.Space == op.State && n > 0 {
				for at := n; at <= len(data); at += n {
					zero(data[at-b.Row.Bytes() : at])
				}
			}
		}},
	}
}
