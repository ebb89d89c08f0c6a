package plan

import (
	"fmt"
	"math"
	"regexp"
	"strings"
)

// trial is an anchor made into something that can be predicted.
type trial struct {
	*anchor
	class  string // what kind of setting it is: residuals are told by it
	decode *rig   // of the phase that makes tokens
	prompt *rig   // of the phase that reads prompts: the same chips, or others
	chips  float64
	spec   Spec
	drafts int // where the share of them that is accepted is to be guessed; else 0
}

var (
	speculates = regexp.MustCompile(`(?i)\b(dspark|mtp\d?|eagle spec\w*|eagle c\d+|suggests it is on)\b`)
	block      = regexp.MustCompile(`(?i)\bdspark\b`)
	community  = regexp.MustCompile(`(?i)kt-kernel|ktransformers|freetoken|colibri|sparklab|llama|ds4|shyringo|atlas`)
	onCPU      = regexp.MustCompile(`(?i)experts?( streamed| read)?( plus \S+)? (on|from) (\d+ )?(the )?(CPU|host)|CPU experts|rest on the CPU|layers on \d+ CPU`)
	fromDisk   = regexp.MustCompile(`(?i)\b(SSD|disk|NVMe|NV)\b`)
)

// check refuses what no machine has done.
func (a *anchor) check() error {
	for _, f := range []struct {
		name        string
		value, most float64
	}{
		{"input_tokens", a.in, longest}, {"output_tokens", a.out, longest}, {"context_tokens", a.context, longest}, {"concurrency", a.concurrency, mostConcurrency},
		{"spec_tokens", a.drafts, mostDrafts}, {"spec_accept", a.accept, mostDrafts},
	} {
		if f.value > f.most {
			return fmt.Errorf("bad number: %s: %v: at most %v is predicted", f.name, f.value, f.most)
		}
	}
	return nil
}

// blockRelease ends the names of the releases that draft in blocks.
var blockRelease = map[string]string{"v4-flash": "-0731", "v4-pro": "-0813"}

// setup makes an anchor into a trial, or says why it cannot be.
func (a *anchor) setup(t *Table, shapes map[string]*Shape) (*trial, error) {
	shape := shapes[a.model]
	if newer := shapes[a.model+blockRelease[a.model]]; newer != nil && block.MatchString(a.words()) {
		shape = newer
	}
	if shape == nil {
		return nil, fmt.Errorf("no such model: %q", a.model)
	}
	if err := a.check(); err != nil {
		return nil, err
	}
	chip, err := t.find(a.hardware)
	if err != nil {
		return nil, err
	}
	r := &trial{anchor: a}
	if r.decode, err = a.rig(t, shape, chip, "decode"); err != nil {
		return nil, err
	}
	if r.prompt, err = a.rig(t, shape, chip, "prefill"); err != nil {
		return nil, err
	}
	r.chips = float64(r.decode.chips())
	if a.phase == "prefill" {
		r.chips = float64(r.prompt.chips())
	}
	r.speculation(shape)
	r.class = r.decode.classOf(r.phase)
	return r, nil
}

// inPackage is how many of a rig's chips are one device in the words of those who count packages.
func (r *rig) inPackage() float64 {
	if r.dies {
		return 2
	}
	return 1
}

func (r *rig) chips() int { return r.layout.TP * r.layout.DP * r.layout.PP }

// speculation decides how many drafts there are, and whether it is known how many are accepted.
func (r *trial) speculation(shape *Shape) {
	n := r.anchor.drafts
	switch {
	case known(n):
	case !speculates.MatchString(r.words()):
		n = 0
	case shape.drafter == "DSpark":
		n = 5
	default:
		n = 2
	}
	if len(shape.drafts) == 0 && n > 0 {
		n = 0
	}
	r.spec = Spec{Drafts: int(n)}
	if n > 0 && known(r.accept) {
		r.spec.Accept = r.accept
	} else {
		r.drafts = int(n)
	}
}

// words are what an anchor says in words.
func (a *anchor) words() string {
	return strings.Join([]string{a.engine, a.layout, a.note, strings.ReplaceAll(a.id, "-", " ")}, " ")
}

// classOf names the setting of a phase: its residuals are told by it.
func (r *rig) classOf(phase string) string {
	switch {
	case r.chip.Measured && r.layout.SSD == 0:
		return ofProfile
	case r.layout.SSD > 0:
		return "disk"
	case r.host != nil:
		return "hybrid"
	case r.chip.Class == processor:
		return "cpu"
	case r.chip.Class == unified:
		return "unified"
	case phase == "prefill" || phase == "decode":
		return "accelerator " + phase
	}
	return "accelerator served"
}

// class is that of a plan at a concurrency.
func (r *rig) class(phase string, concurrency float64) string {
	if phase == "decode" && concurrency > 1 {
		phase = "served"
	}
	return r.classOf(phase)
}

// someDevices is how many there are where nobody says: what publishes figures per device is a cluster.
const someDevices = 32

// rig cuts a model over the chips of a phase as an anchor says.
func (a *anchor) rig(t *Table, shape *Shape, chip *Chip, phase string) (*rig, error) {
	c := a.cutsOf(phase)
	n := or(a.devices, math.Max(someDevices, math.Max(c.tp*c.dp, c.ep)))
	if c.chips > 0 {
		n = c.chips
	}
	if n < 1 || n > 1e5 {
		return nil, fmt.Errorf("bad number of devices: %v", n)
	}
	dies := false
	if product := math.Max(c.tp, 1) * math.Max(c.dp, 1); product == 2*n || math.Max(c.ep, c.dp) == 2*n {
		if die, err := t.find(strings.Split(chip.Name, " 128GB")[0] + " die 64GB"); err == nil {
			chip, n, dies = die, 2*n, true
		}
	}
	r := &rig{shape: shape, chip: chip, held: a.held(chip), community: community.MatchString(a.engine), dies: dies}
	r.layout = a.cut(c, int(n), chip)
	if err := a.hybrid(t, r); err != nil {
		return nil, err
	}
	return r, nil
}

// cut chooses what an anchor's layout leaves open.
func (a *anchor) cut(c cuts, n int, chip *Chip) Layout {
	l := Layout{TP: int(c.tp), DP: int(c.dp), EP: int(c.ep), PP: max(int(c.pp), 1), Replicas: 1}
	if strings.Contains(a.layout, "in series") {
		l.PP = n
	}
	n = max(n/l.PP, 1)
	attention := strings.Contains(a.layout, "attention DP") || strings.Contains(a.layout, "DP attention") || c.ep >= 16
	switch {
	case l.TP > 0 && l.DP > 0:
		l.TP = min(l.TP, n)
		l.DP = max(n/l.TP, 1)
	case l.TP > 0 && !attention:
		l.TP = min(l.TP, n)
		l.DP = max(n/l.TP, 1)
	case l.DP > 0 || attention || or(a.concurrency, 1e9) >= 4*float64(n) && chip.Class == accelerator && n >= 4:
		l.TP, l.DP = 1, n
	default:
		l.TP, l.DP = n, 1
	}
	l.EP = max(l.EP, 1)
	if l.DP > 1 {
		l.EP = l.TP * l.DP
	}
	return l
}

// held is how weights were served. Where nobody says, it is what the chip holds best, or what engines of the kind use.
func (a *anchor) held(chip *Chip) held {
	word, _, _ := strings.Cut(a.format, " ")
	if h, ok := formats[strings.TrimRight(word, ",;")]; ok {
		return h
	}
	if strings.Contains(a.engine, "llama") {
		return formats["q4"]
	}
	return chip.holds()
}

// hybrid adds processors and disks.
func (a *anchor) hybrid(t *Table, r *rig) error {
	text := a.layout + " " + a.note + " " + a.hardware
	room := float64(r.chips()) * r.chip.Memory * usable
	routed, rest := r.weightBytes()
	if onCPU.MatchString(a.layout) && r.chip.Class != processor {
		name := a.host
		if name == "" {
			name = "EPYC 9354"
		}
		host, err := t.find(name)
		if err != nil {
			return err
		}
		r.host, r.sockets = host, 1
		if m := sockets.FindStringSubmatch(a.layout); m != nil {
			fmt.Sscan(m[1], &r.sockets)
		}
		r.cached = math.Max(0, math.Min(1, (room-rest)/routed))
		r.layout.Hit = or(a.hit, math.Pow(r.cached, hitPower))
	}
	memory := room
	if r.chip.Class != accelerator || r.host != nil || known(a.ram) {
		memory = math.Max(memory, 0)
		if known(a.ram) {
			memory = a.ram * gib
			if r.chip.Class == accelerator {
				memory += room
			}
		}
	}
	if routed+rest > memory*1.02 && (fromDisk.MatchString(text) || known(a.disk) || r.chip.Class != accelerator) {
		r.disk = or(a.disk*1e9, 3.5e9)
		r.layout.SSD = 1
		if r.chip.Class == accelerator && r.host == nil {
			host, err := t.find("EPYC 9354")
			if err != nil {
				return err
			}
			r.host, r.sockets = host, 1
		}
		r.layout.Hit = -1
		r.cached = math.Max(0, math.Min(1, (memory-rest)/routed))
		if known(a.hit) {
			r.layout.Hit = a.hit
		}
	}
	return nil
}

// predict is what a trial should have measured, in the unit of its metric.
func (r *trial) predict(f *values) (value float64, limit string) {
	for _, g := range []*rig{r.decode, r.prompt} {
		g.factors = f
		if g.layout.SSD > 0 {
			g.layout.Hit = or(r.anchor.hit, math.Pow(g.cached, hitPower))
		}
	}
	spec := r.spec
	if r.drafts > 0 {
		spec.Accept = accepted(r.drafts, f[draftChance])
	}
	in := math.Max(1, or(r.in, or(r.context, 2048)))
	out := math.Max(1, or(r.out, 512))
	context := int(or(r.context, or(r.in, 1024)+or(r.out, 512)/2))
	c := math.Max(1, or(r.concurrency, 1))
	if !known(r.concurrency) && r.decode.chip.Class == accelerator && strings.HasSuffix(r.metric, "_per_device") {
		c = r.decode.saturate(context, spec)
	}
	prompts := c
	if r.phase == "prefill" && !known(r.concurrency) && r.metric != "ttft_ms" && r.chips > 1 {
		prompts = math.Ceil(promptChunk * r.chips / in)
	}
	read := r.prompt.readPrompts(1, int(in))
	step := r.decode.decode(c, context, spec)
	token := step.total() / spec.tokensPerStep()
	if r.phase == "mixed" || r.phase == "e2e" {
		slower := f.slower(c)
		token *= slower
		read.add(read, slower-1)
		token = r.withPrompts(token, read.total(), c, out)
	}
	limit = step.largest()
	switch {
	case r.metric == "tpot_ms":
		return 1000 * token, limit
	case r.metric == "ttft_ms":
		return 1000 * read.total() * (c + 1) / 2, read.largest()
	case strings.HasPrefix(r.metric, "prefill_tok_s"):
		read = r.prompt.readPrompts(prompts, int(in))
		value, limit = prompts*in/read.total(), read.largest()
	case strings.HasPrefix(r.metric, "output_tok_s"):
		value = c / token
	case strings.HasPrefix(r.metric, "total_tok_s"):
		value = c / token * (in + out) / out
	default:
		return math.NaN(), "unknown metric"
	}
	if strings.HasSuffix(r.metric, "_per_device") {
		value /= r.chips / r.decode.inPackage()
	}
	return value, limit
}

// withPrompts adds to the time of a token what reading prompts takes from it: others' where one pool does both, and in the throughput
// of a whole run one's own.
func (r *trial) withPrompts(token, read, c, out float64) float64 {
	apart := len(phaseWord.FindAllString(r.layout, -1)) > 1
	switch {
	case r.phase == "mixed":
		return token + (c-1)*read/out
	case apart:
		return math.Max(token+read/out, c*read/out)
	}
	return token + c*read/out
}

// accepted is how many of n drafts stand where each does with a chance if those before it did.
func accepted(n int, chance float64) (sum float64) {
	p := 1.0
	for range n {
		p *= chance
		sum += p
	}
	return sum
}

// saturate is the largest number of sequences that fits and whose tokens take no longer than services allow: 50 ms, or where that cannot be, more.
func (r *rig) saturate(context int, spec Spec) float64 {
	chips := float64(r.chips())
	most := math.Max(chips, r.most(context, spec))
	for _, limit := range []float64{0.05, 0.1, 0.2} {
		best := 0.0
		for c := chips; c <= most && c <= 4096*chips && r.decode(c, context, spec).total()/spec.tokensPerStep() <= limit; c *= 1.25 {
			best = c
		}
		if best > 0 {
			return best
		}
	}
	return chips
}
