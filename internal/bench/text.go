package bench

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"baleen/internal/profile"
)

// String is a report for people.
func (r *Report) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s, %d layers, %.2f GB, %s on %s (%s, %d threads)\n",
		r.Model.Shape, r.Model.Layers, float64(r.Model.Bytes)/1e9, r.Numerics, r.Device, r.ISA, r.Threads)
	fmt.Fprintln(&text, r.Key)
	limits(&text, "before", r.Probe)
	limits(&text, "after", r.ProbeAfter)
	text.WriteString("\n")
	r.table(&text)
	r.where(&text)
	r.notes(&text)
	return text.String()
}

func limits(text *strings.Builder, when string, l *profile.Limits) {
	if l == nil {
		return
	}
	fmt.Fprintf(text, "%-6s  read %.1f GB/s, one thread %.1f", when, l.ReadN, l.Read1)
	for _, f := range []struct {
		figure float64
		format string
	}{{l.BF16, ", bf16 %.0f GFLOP/s"}, {l.VNNI, ", int8 %.0f GOP/s"}, {l.FMA, ", fma %.0f GFLOP/s"}, {l.Disk, ", disk %.2f GB/s"}} {
		if f.figure > 0 {
			fmt.Fprintf(text, f.format, f.figure)
		}
	}
	text.WriteString("\n")
}

func (r *Report) table(text *strings.Builder) {
	w := tabwriter.NewWriter(text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "phase\tprompt\tdepth\tbatch\ttok/s\tms\tmin\tmax\tGB/s\tof read\tGFLOP/s\tof peak\tallocs\t\t")
	for _, row := range r.Rows {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n",
			row.Phase, row.Prompt, row.Depth, row.Batch, short(row.TokS), short(row.Median), short(row.Min), short(row.Max),
			short(row.GBs), percent(row.ShareRead), short(row.Gflops), percent(row.SharePeak), number(row.Allocs), row.marks())
	}
	w.Flush()
}

func (row Row) marks() string {
	var marks []string
	if row.Projected {
		marks = append(marks, "projected")
	}
	if row.Noisy {
		marks = append(marks, "noisy")
	}
	return strings.Join(marks, ", ")
}

// short writes a figure with four digits, or all before its point.
func short(x float64) string {
	if x >= 1000 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 4, 64)
}

func percent(share *float64) string {
	if share == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f %%", *share*100)
}

func number(n *float64) string {
	if n == nil {
		return "-"
	}
	return short(*n)
}

// where says for each row that has it where the time went, most first.
func (r *Report) where(text *strings.Builder) {
	for _, row := range r.Rows {
		if len(row.MsBy) == 0 {
			continue
		}
		groups := slices.SortedFunc(maps.Keys(row.MsBy), func(a, b string) int {
			return cmp.Compare(row.MsBy[b], row.MsBy[a])
		})
		parts := make([]string, len(groups))
		for i, group := range groups {
			parts[i] = group + " " + short(row.MsBy[group])
		}
		fmt.Fprintf(text, "\n%s: ms: %s", row.name(), strings.Join(parts, ", "))
		if row.ShareReadLayers != nil && row.ShareReadHead != nil {
			fmt.Fprintf(text, "; of read: layers %s, head %s", percent(row.ShareReadLayers), percent(row.ShareReadHead))
		}
		if row.SharePeakExperts != nil && row.Phase == "prefill" {
			fmt.Fprintf(text, "; routed experts %s of peak", percent(row.SharePeakExperts))
		}
		if row.Hit != nil {
			fmt.Fprintf(text, "; experts in memory %s", percent(row.Hit))
		}
		text.WriteString("\n")
	}
}

func (row Row) name() string {
	name := fmt.Sprintf("%s of %d", row.Phase, row.Prompt)
	if row.Phase == "decode" {
		name = fmt.Sprintf("decode at %d, batch %d", row.Depth, row.Batch)
	}
	if row.Projected {
		name += ", projected"
	}
	return name
}

// notes says once what projections rest on.
func (r *Report) notes(text *strings.Builder) {
	seen := map[string]bool{}
	for _, row := range r.Rows {
		if row.Note != "" && !seen[row.Note] {
			seen[row.Note] = true
			fmt.Fprintf(text, "\nprojected: %s\n", row.Note)
		}
	}
}
