package engine

import (
	"fmt"
	"slices"
	"strings"
)

// What the scripts of the scheduler show.

func (w *world) show(actions []action) string {
	var out strings.Builder
	for _, a := range actions {
		if a.move != nil {
			fmt.Fprintln(&out, a.move)
		}
		if a.item == nil && a.finish == nil {
			continue // progress of a prompt is seen from its rows
		}
		fmt.Fprintf(&out, "%s:", w.names[a.sequence])
		if a.item != nil {
			fmt.Fprintf(&out, " token %d %q", a.item.Token, a.item.Bytes)
		}
		if a.finish != nil {
			fmt.Fprintf(&out, " ends: %s", endText(a.finish))
		}
		fmt.Fprintln(&out)
	}
	for i := 0; i < len(w.batch.Rows); {
		first, last := w.batch.Rows[i], w.batch.Rows[i]
		for i++; i < len(w.batch.Rows) && w.batch.Rows[i].Slot == first.Slot; i++ {
			last = w.batch.Rows[i]
		}
		fmt.Fprintf(&out, "run %s in slot %d: %d", w.nameOf(first.Slot), first.Slot, first.Position)
		if last != first {
			fmt.Fprintf(&out, "-%d", last.Position)
		}
		if last.Logits {
			fmt.Fprint(&out, "!")
		}
		for _, want := range w.batch.Wants {
			if want.slot == first.Slot && len(want.guesses) > 0 {
				fmt.Fprintf(&out, " with %d guesses", len(want.guesses))
			}
		}
		fmt.Fprintf(&out, ", pages %v\n", w.batch.Pages[first.Slot])
	}
	for _, q := range w.waiting {
		fmt.Fprintf(&out, "%s waits\n", w.names[q])
	}
	out.WriteString(w.showFree())
	return out.String()
}

func (w *world) showFree() string {
	text := fmt.Sprintf("free: %d pages, %d slots", w.pool.Free(), len(w.free))
	if c := w.tree.Counts(); c.Pages > 0 {
		text += fmt.Sprintf("; remembered: %d pages, %d checkpoints", c.Pages, c.Checkpoints)
	}
	return text + "\n"
}

func (m *move) String() string {
	file := fmt.Sprintf("page %d", m.page)
	if m.file.Node != nil {
		file = fmt.Sprintf("page of depth %d", m.file.Node.Depth)
		if m.file.Checkpoint {
			file = fmt.Sprintf("checkpoint of depth %d", m.file.Node.Depth)
		}
	}
	switch m.kind {
	case saveCheckpoint:
		return fmt.Sprintf("save slot %d at %d", m.slot, m.position)
	case loadCheckpoint:
		return fmt.Sprintf("load slot %d at %d", m.slot, m.position)
	case loadPage:
		return "load " + file
	case readFile:
		return "read " + file
	case writeFile:
		return "write " + file
	}
	return "delete files"
}

func (w *world) nameOf(slot int32) string {
	i := slices.IndexFunc(w.running, func(q *sequence) bool { return q.slot == slot })
	return w.names[w.running[i]]
}

func (w *world) showEnds() string {
	var out strings.Builder
	for _, q := range w.order {
		end, answer := w.ends[q], text(w.sent[q])
		answer = answer[:min(len(answer), 40)]
		fmt.Fprintf(&out, "%s: %d tokens, %q, %s; submitted %v, started %v, first %v, ended %v\n", w.names[q], len(w.sent[q]), answer,
			endText(end), end.Submitted, end.Started, end.First, end.Ended)
	}
	out.WriteString(w.showFree())
	return out.String()
}

// showCached tells of each answer how much of its prompt was remembered, and why no more was.
func (w *world) showCached() string {
	var out strings.Builder
	for _, q := range w.order {
		fmt.Fprintf(&out, "%s: %d of %d cached, %d awaited. %s\n", w.names[q], w.ends[q].Cached, q.prompt, w.ends[q].Awaited, w.ends[q].Why)
	}
	out.WriteString(w.showFree())
	return out.String()
}

func endText(f *Finish) string {
	switch {
	case f.Err != nil:
		return f.Err.Error()
	case f.Stop != nil:
		return fmt.Sprintf("%v %q", f.Reason, f.Stop)
	}
	return f.Reason.String()
}
