package plan

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

var classes = map[string]Class{"accelerator": accelerator, "unified": unified, "cpu": processor}

// chip is an entry as plans take it, one of count: figures that were not published are taken from stated rules, each with a
// sentence in Assumed. Without memory, bandwidth or operations there can be no plan.
func (t *Table) chip(e *entry, count int) (*Chip, error) {
	if e.parts != "" {
		return nil, fmt.Errorf("a whole machine, not a chip: %q: write %s", e.Name, e.parts)
	}
	c := e.Chip
	c.Assumed = nil
	c.BF16 = max(e.BF16, e.fp16)
	c.Measured = c.Measured || e.evidence == "M"
	c.domain = int(e.domain)
	if e.priceSource != "" {
		c.Source += "; price: " + e.priceSource
	}
	t.classify(&c, e)
	c.assumeMemory()
	t.assumeLike(&c, e.like)
	c.assumeProcessor()
	c.assumeBF16()
	c.assumeLinks(count)
	for _, figure := range []struct {
		value        float64
		what, column string
	}{{c.Memory, "memory", "memory_gib"}, {c.Bandwidth, "memory bandwidth", "memory_bw_gb_s"}, {c.BF16, "operations a second", "bf16_dense_tflops"}} {
		if figure.value == 0 {
			return nil, fmt.Errorf("no plan without its %s: %q: give %s for it in a --hardware file", figure.what, c.Name, figure.column)
		}
	}
	return &c, nil
}

func (c *Chip) assume(format string, args ...any) {
	c.Assumed = append(c.Assumed, c.Name+": "+fmt.Sprintf(format, args...))
}

// classify takes the class from the column, and where a user's row has none, from the words of the name.
func (t *Table) classify(c *Chip, e *entry) {
	if e.class != "" {
		c.Class = classes[strings.ToLower(e.class)]
		return
	}
	c.Class = guessClass(c.Vendor, c.Name)
	c.assume("class not given; taken for %s by its name", [...]string{"an accelerator", "a machine with unified memory", "a processor"}[c.Class])
}

var (
	unifiedWords   = regexp.MustCompile(`(?i)\b(strix halo|ai max|dgx spark|gb10|jetson|m\d+ (ultra|max|pro)|m\d+ \d+gb)\b`)
	processorWords = regexp.MustCompile(`(?i)\b(epyc|xeon|ryzen|threadripper|kunpeng|core|cores|cpu|graviton|altra|grace)\b`)
)

func guessClass(vendor, name string) Class {
	switch {
	case vendor == "Apple" || unifiedWords.MatchString(name):
		return unified
	case processorWords.MatchString(name):
		return processor
	}
	return accelerator
}

// assumeLike takes operations that are not known from a chip that is like it.
func (t *Table) assumeLike(c *Chip, like string) {
	share, name, ok := cutLike(like)
	i := t.at(name)
	if !ok || i < 0 {
		return
	}
	other, filled := &t.entries[i], false
	for _, f := range []struct {
		to   *float64
		from float64
	}{{&c.FP4, other.FP4}, {&c.FP8, other.FP8}, {&c.INT8, other.INT8}, {&c.BF16, max(other.BF16, other.fp16)}} {
		if *f.to == 0 && f.from > 0 {
			*f.to, filled = f.from*share, true
		}
	}
	if filled {
		c.assume("operations/s that are not published are taken in proportion from %s, %s", other.Name, strings.Fields(like)[0])
	}
}

// cutLike reads "A/B NAME".
func cutLike(text string) (share float64, name string, ok bool) {
	ratio, name, _ := strings.Cut(text, " ")
	a, b, _ := strings.Cut(ratio, "/")
	x, err1 := strconv.ParseUint(a, 10, 32)
	y, err2 := strconv.ParseUint(b, 10, 32)
	if err1 != nil || err2 != nil || x == 0 || y == 0 || name == "" {
		return 0, "", false
	}
	return float64(x) / float64(y), name, true
}

// perCore is the memory that a processor is taken to have for a core where nobody says: buyers choose it, and clouds sell this much.
const perCore = 4 * gib

// assumeMemory gives a processor memory. An accelerator without is refused.
func (c *Chip) assumeMemory() {
	if cores := coresOf(c.Name); c.Memory == 0 && c.Class == processor && cores > 0 {
		c.Memory = float64(cores) * perCore
		c.assume("memory not known; taken as %d GiB, 4 for each of its cores", int(c.Memory/gib))
	}
}

// generation is what a core does in a cycle in each format, and how fast it is taken to run with all cores busy.
type generation struct {
	name       string // as it stands in names of chips
	how        string
	bf16, int8 float64
	ghz        float64
}

// generations of processors whose operations no data sheet gives. Zen 4 as the study measured it on one (64 BF16 and 128 INT8
// in a 512-bit instruction of two halves), at the clock of the table's EPYC 9654. Zen 5 has full 512-bit units: twice that.
// Zen 2 and 3 have AVX2 alone: two FMAs of 8 float32, and INT8 by way of a pair of 16-bit products at twice the rate. Kunpeng 920 and its
// kin have two 128-bit units with SDOT, which agrees with the balance of 33 operations to a byte of 155 GB/s that cann-recipes-infer
// gives for 32 threads of one.
var generations = []generation{
	{"Zen 5", "AVX-512", 128, 256, 3.5},
	{"Zen 4", "AVX-512 in halves", 64, 128, 3.55},
	{"Zen 3", "AVX2", 32, 64, 4.0},
	{"Zen 2", "AVX2", 32, 64, 3.0},
	{"AMX", "AMX", 1024, 2048, 2.0},
	{"Kunpeng", "NEON", 16, 64, 2.6},
}

// assumeProcessor works out operations of a processor from cores, clock and what a core does in a cycle.
func (c *Chip) assumeProcessor() {
	cores := float64(coresOf(c.Name))
	if c.Class != processor || c.BF16 > 0 || cores == 0 {
		return
	}
	for _, g := range generations {
		if !strings.Contains(c.Name, g.name) {
			continue
		}
		c.BF16 = cores * g.ghz * giga * g.bf16
		if c.INT8 == 0 {
			c.INT8 = cores * g.ghz * giga * g.int8
		}
		c.assume("operations/s from %.0f cores at %g GHz, %.0f BF16 and %.0f INT8 in a cycle (%s, %s): not measured", cores, g.ghz, g.bf16, g.int8, g.name, g.how)
		return
	}
}

var (
	coreCount   = regexp.MustCompile(`(?i)\b(\d{1,4})[ -]cores?\b`)
	socketCount = regexp.MustCompile(`(?i)\b(\d{1,2}) sockets x\b`)
)

// coresOf reads how many cores a chip has from its name, as "(Zen 5, 32 cores)"; 0 is not known.
func coresOf(name string) int {
	cores := 0
	if m := coreCount.FindStringSubmatch(name); m != nil {
		cores, _ = strconv.Atoi(m[1])
	}
	if m := socketCount.FindStringSubmatch(name); m != nil {
		sockets, _ := strconv.Atoi(m[1])
		cores *= sockets
	}
	return cores
}

// assumeBF16 takes half the rate of 8 bits, as data-centre chips have it; cards for players have less, processors for training more.
func (c *Chip) assumeBF16() {
	if wide := max(c.FP8, c.INT8); c.BF16 == 0 && wide > 0 {
		c.BF16 = wide / 2
		c.assume("operations/s in BF16 not published; taken as half of those in 8 bits")
	}
}

// Links where nobody says, bytes/s in one direction.
const (
	pcie4x16 = 32e9
	pcie5x16 = 64e9

	nicAccelerator = 25e9   // 200 Gbit/s for a chip
	nicProcessor   = 12.5e9 // 100 Gbit/s for a socket
	nicUnified     = 1.25e9 // 10 Gbit/s
)

// assumeLinks fills in links. What is taken is said where count chips use them.
func (c *Chip) assumeLinks(count int) {
	domain := c.Domain()
	if c.Intra == 0 && domain > 1 {
		what := "PCIe 4 x16, 32 GB/s"
		if c.Intra = pcie4x16; c.FP4 > 0 { // the generation that came with PCIe 5
			c.Intra, what = pcie5x16, "PCIe 5 x16, 64 GB/s"
		}
		if count > 1 {
			c.assume("links within a host not published; taken as %s", what)
		}
	}
	if c.Inter == 0 {
		c.Inter = [...]float64{nicAccelerator, nicUnified, nicProcessor}[c.Class]
		if count > domain {
			c.assume("network not published; taken as %g Gbit/s for each", math.Round(c.Inter*8/giga))
		}
	}
}
