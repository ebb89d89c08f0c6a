//go:build faults

package qualify

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"baleen/internal/op"
)

// runFaults are those that depend on what ran before, and on where in its memory a sequence lies.
func runFaults() []fault {
	return slices.Concat(placeFaults(), entryFaults(), orderFaults(), reachFaults())
}

// placeFaults are those of places in rings and pages.
func placeFaults() []fault {
	lost := func(which func(s *site, b op.Buffer, first, entry int) bool) (before, after func(s *site)) {
		return func(s *site) { s.kept = s.bytes(output(s)) }, func(s *site) {
			o, b := s.op.(op.Store), s.e.Buffer(output(s))
			now, old, n, first := s.bytes(output(s)), s.kept.([]byte), b.Row.Bytes(), map[int32]int{}
			for i, slot := range s.args.Tables[o.Slot] {
				entry := int(s.args.Tables[o.Entry][i]) / o.Divide
				if _, ok := first[slot]; !ok {
					first[slot] = entry
				}
				if which(s, b, first[slot], entry) {
					at := placeOf(b, s.args.Pages, slot, entry) * n
					copy(now[at:at+n], old[at:])
				}
			}
			s.setBytes(output(s), now)
		}
	}
	planted := func(name, about string, which func(s *site, b op.Buffer, first, entry int) bool) fault {
		before, after := lost(which)
		return fault{name: name, about: about, at: is[op.Store], before: before, after: after}
	}
	return []fault{
		planted("ring-end-lost", "the last row of a ring is never written", func(_ *site, b op.Buffer, _, entry int) bool {
			return b.Ring > 0 && entry%b.Ring == b.Ring-1
		}),
		planted("ring-crossing-lost", "what a run writes behind the end of a ring is lost", func(_ *site, b op.Buffer, first, entry int) bool {
			return b.Ring > 0 && entry/b.Ring > first/b.Ring
		}),
		{name: "page-crossing", about: "B49: a run that reaches the next page writes to the one that lies behind in memory", at: is[op.Store], before: func(s *site) {
			o, b := s.op.(op.Store), s.e.Buffer(output(s))
			if b.PerPage == 0 {
				return
			}
			args := *s.args
			args.Pages = slices.Clone(args.Pages)
			first := map[int32]int{}
			for i, slot := range args.Tables[o.Slot] {
				page := int(args.Tables[o.Entry][i]) / o.Divide / b.PerPage
				from, ok := first[slot]
				if !ok {
					first[slot], from = page, page
				}
				if next := args.Pages[slot][from] + 1; page == from+1 && int(next) < s.e.Caps.Pages {
					args.Pages[slot] = slices.Clone(args.Pages[slot])
					args.Pages[slot][page] = next
				}
			}
			s.args = &args
		}},
		{name: "third-slot", about: "B46: rings of slots behind the second are that of the second", at: is[op.Store], before: func(s *site) {
			if s.e.Buffer(output(s)).Ring > 0 {
				s.retable(s.op.(op.Store).Slot, func(x []int32) {
					for i := range x {
						x[i] = min(x[i], 1)
					}
				})
			}
		}},
		{name: "stored-entry-16-bit", about: "B49: entries of pages are counted in 16 bits when they are stored", at: is[op.Store], before: func(s *site) {
			o := s.op.(op.Store)
			if s.e.Buffer(output(s)).PerPage > 0 {
				s.retable(o.Entry, func(x []int32) {
					for i := range x {
						x[i] = x[i] / int32(o.Divide) & 0xffff * int32(o.Divide)
					}
				})
			}
		}},
	}
}

// entryFaults are those of entries and keys that attention meets.
func entryFaults() []fault {
	return []fault{
		{name: "chosen-entry-16-bit", about: "B49: ids of chosen entries have 16 bits", at: is[op.Attend], before: func(s *site) {
			if o := s.op.(op.Attend); o.Ids != 0 {
				s.setIDs(op.ID(o.Ids), replaced(s.ids(op.ID(o.Ids)), func(c int32) int32 {
					if c > 0 {
						c &= 0xffff
					}
					return c
				}))
			}
		}},
		{name: "chosen-by-row-before", about: "B27: the last of several rows attends to what the one before has chosen", at: is[op.Attend], before: func(s *site) {
			o := s.op.(op.Attend)
			if o.Ids == 0 {
				return
			}
			ids, k, slots := s.ids(op.ID(o.Ids)), s.cols(op.ID(o.Ids)), s.args.Tables[o.Slot]
			s.kept = slices.Clone(ids)
			if n := len(slots); n > 1 && slots[n-1] == slots[n-2] {
				copy(ids[(n-1)*k:], ids[(n-2)*k:(n-1)*k])
				s.setIDs(op.ID(o.Ids), ids)
			}
		}, after: func(s *site) {
			if ids, ok := s.kept.([]int32); ok {
				s.setIDs(op.ID(s.op.(op.Attend).Ids), ids)
			}
		}},
		{name: "key-512-lost", about: "4: of more than 512 keys the 513th is left out", at: is[op.Attend], after: attendAgain(attendFault{pick: func(keys [][]float32) [][]float32 {
			if len(keys) > 512 {
				return slices.Delete(slices.Clone(keys), 512, 513)
			}
			return keys
		}})},
	}
}

// reachFaults are those of entries far away or near an end.
func reachFaults() []fault {
	hidden := func(name, about string, hide func(s *site, o op.IndexScore, i, n int) (from, to int)) fault {
		return fault{name: name, about: about, unfused: true, at: is[op.IndexScore], after: func(s *site) {
			o := s.op.(op.IndexScore)
			positions := s.args.Tables[o.Position]
			s.edit(op.ID(o.Scores), func(y []float32) {
				cols := s.cols(op.ID(o.Scores))
				for i, t := range positions {
					n := op.Visible(int(t), o.Ratio)
					for c, to := hide(s, o, i, n); c < min(to, n); c++ {
						y[i*cols+c] = float32(math.Inf(-1))
					}
				}
			})
		}}
	}
	return []fault{
		hidden("beyond-64k", "B49: entries beyond 65,536 are not scored", func(_ *site, _ op.IndexScore, _, n int) (int, int) { return 65536, n }),
		hidden("short-tile", "a last tile of 1,024 entries with less than four is not scored", func(_ *site, _ op.IndexScore, _, n int) (int, int) {
			if n > 1024 && n%1024 < 4 {
				return n - n%1024, n
			}
			return n, n
		}),
		hidden("end-of-context", "the last entry that a context can have is not scored", func(s *site, o op.IndexScore, _, n int) (int, int) {
			return s.e.Caps.Context/o.Ratio - 1, n
		}),
		hidden("visible-of-first-row", "B28: rows see as many entries as the first of their sequence in the run", func(s *site, o op.IndexScore, i, n int) (int, int) {
			slots := s.args.Tables[o.Slot]
			first := slices.Index(slots, slots[i])
			return op.Visible(int(s.args.Tables[o.Position][first]), o.Ratio), n
		}),
		{name: "window-17", about: "of more than 16 windows that a run completes the 17th is the one before", at: is[op.Pool], after: onOutput(func(_ *site, y []float32, cols int) {
			if len(y) > 16*cols {
				copy(y[16*cols:17*cols], y[15*cols:16*cols])
			}
		})},
		{name: "pool-max-of-window", about: "3.4: the largest score is sought in the window, not in what overlaps", at: is[op.Pool], after: poolAgain(poolFault{maxOfWindow: true})},
	}
}

// orderFaults depend on the runs before.
func orderFaults() []fault {
	var downloads int
	last := map[string][]byte{}
	return []fault{
		{name: "shrinking-run", about: "buffer reuse: with fewer rows than in the run before, the last row is of that", at: is[op.Linear], before: keepOutput, after: onOutput(func(s *site, y []float32, cols int) {
			key := fmt.Sprint("rows ", s.e.Name, s.op)
			before, _ := s.f.memory[key].(int)
			s.f.memory[key] = len(y)
			if len(y) > 0 && len(y) < before {
				copy(y[len(y)-cols:], s.kept.([]float32)[len(y)-cols:])
			}
		})},
		{name: "after-error", about: "D: the first product after a run that failed has a row of zeros", at: is[op.Linear], after: onOutput(func(s *site, y []float32, cols int) {
			if s.f.failed {
				s.f.failed = false
				clear(y[len(y)-min(cols, len(y)):])
			}
		})},
		{name: "attention-race", about: "B47: in one attention of 100 a number is its neighbour's", at: is[op.Attend], after: onOutput(func(s *site, y []float32, _ int) {
			if s.chance(100) {
				y[0] = y[1]
			}
		})},
		{name: "upload-late", about: "B44: one in 24 restored states arrives after the next run", late: true},
		{name: "download-stale", about: "B44: one in 64 downloads has what the one before had", download: func(b op.Buffer, offset int64, data []byte) {
			key := fmt.Sprint(b.Name, offset, len(data))
			mine := slices.Clone(data)
			if downloads++; downloads%64 == 63 && last[key] != nil {
				copy(data, last[key])
			}
			last[key] = mine
		}},
		{name: "draft-window-kept", about: "B41: the draft block's window is not rolled back", at: func(s *site) bool {
			_, ok := s.op.(op.Store)
			return ok && strings.HasPrefix(s.e.Buffer(output(s)).Name, "mtp.")
		}, before: func(s *site) { s.kept = s.bytes(output(s)) }, after: func(s *site) {
			now := s.bytes(output(s))
			s.rewritten(s.op.(op.Store), func(row, was []byte, age int) {
				if age < 2 {
					copy(row, was)
				}
			}, s.kept.([]byte), now)
			s.setBytes(output(s), now)
		}},
		{name: "draft-chain-stale", about: "B46: a second further draft starts from the streams of the first", at: func(s *site) bool {
			n, ok := s.op.(op.RMSNorm)
			return ok && s.e.Name == "draft.next" && s.e.Buffer(op.ID(n.X)).Space == op.IO
		}, before: func(s *site) {
			x := op.ID(s.op.(op.RMSNorm).X)
			mine := s.floats(x)
			if at, _ := s.f.memory["at"].(int); at == s.f.runs-1 {
				if old := s.f.memory["streams"].([]float32); len(old) == len(mine) {
					s.set(x, old)
				}
			}
			s.f.memory["at"], s.f.memory["streams"] = s.f.runs, mine
		}},
	}
}
