package engine

import (
	"slices"

	"baleen/internal/deepseek"
	"baleen/internal/op"
)

// drafter guesses what comes next. It is state of a sequence like any other: addressed by position, saved and restored with the
// rest, and brought up to a sequence's length after each run of the model, before anything of it is saved.
//
// The MTP block's row of position p is made from the token at p+1, too. After a run that token is always known: it is the
// prompt's next, or what was just chosen. So a checkpoint at p, which is taken when the token at p is known, has the row of p-1; made,
// however, with the token at p of who took it. Who goes on from it with another token drafts from a window in which that one row
// is another's. It makes a guess likelier to fall for as long as the row is in the window, and no answer another. (To make
// it anew needs the streams of p-1, which no checkpoint has.) Likewise where drafting did not pay for a while (profit): rows that the
// drafter has not seen are whatever lay there.
type drafter interface {
	// places is the most guesses of a draft.
	places() int
	// draft takes the rows of the last Forward with the tokens after them, and goes on behind the rows that starts name, in their
	// order. The tokens of rows that do not stand may be any. choose is asked for each guess, place by place, and ends a
	// draft with a token below 0. scores are the drafter's own for each guess, or nil.
	draft(rows []op.Row, starts []beginning, choose func(i, place int, logits []float32) int32) (drafts [][]int32, scores [][]float32, err error)
}

// beginning is where a draft begins.
type beginning struct {
	row  int // of the last Forward: the last token that stands and was run. The token after it is the draft's first input
	most int // guesses
}

// mostChained is how many guesses of the MTP block follow from each other. It was trained for the first.
const mostChained = 4

// recordDrafter records what drafts, if the model has it, and returns its programs in the order in which they run.
func (m *Machine) recordDrafter() []*program {
	var programs []*program
	record := func(p *op.Program) *program {
		programs = append(programs, m.lower(p))
		return programs[len(programs)-1]
	}
	nowhere := make([][]int32, m.Caps.Slots)
	for i := range nowhere {
		nowhere[i] = make([]int32, (m.Caps.Context-1)/op.PageSize+1)
	}
	logits := make([]float32, m.Model.Config.Vocab)
	switch w, block := m.Model.Weights, m.Model.Config.DSpark; {
	case w.MTP != nil:
		m.draft = record(m.Model.Draft(m.Caps))
		m.drafter = &chained{machine: m, next: record(m.Model.DraftNext(m.Caps)), nowhere: nowhere, logits: logits}
	case w.Drafter != nil && m.Caps.Rows >= block.BlockSize:
		rows := min(m.Caps.Rows, m.Caps.Slots*block.BlockSize)
		m.drafter = &blocks{
			machine: m, size: block.BlockSize, noise: block.NoiseToken, nowhere: nowhere, logits: logits, score: make([]float32, 1),
			context: record(m.Model.DraftContext(m.Caps)), block: record(m.Model.DraftBlock(m.Caps, rows)), chain: record(m.Model.DraftChain(m.Caps, rows)),
		}
	}
	return programs
}

// chained drafts with the MTP block: from the model's streams, and then from its own.
type chained struct {
	machine *Machine
	next    *program
	nowhere [][]int32 // pages of every slot: the block stores nothing there
	logits  []float32
}

func (*chained) places() int { return mostChained }

func (d *chained) draft(rows []op.Row, starts []beginning, choose func(i, place int, logits []float32) int32) (drafts [][]int32, _ [][]float32, err error) {
	rows = slices.Clone(rows)
	for i := range rows {
		rows[i].Logits = false
	}
	ahead := make([]op.Row, len(starts))
	for i, s := range starts {
		rows[s.row].Logits = true
		ahead[i] = rows[s.row]
	}
	if err := d.machine.run(d.machine.draft, rows, d.nowhere); err != nil {
		return nil, nil, err
	}
	drafts = make([][]int32, len(starts))
	program := d.machine.draft
	for place := 0; ; place++ {
		wanted, more := 0, false
		for i := range ahead {
			if !ahead[i].Logits {
				continue
			}
			if err := d.machine.read(program, deepseek.DraftLogitsName, wanted, d.logits); err != nil {
				return nil, nil, err
			}
			wanted++
			token := choose(i, place, d.logits)
			if token >= 0 {
				drafts[i] = append(drafts[i], token)
			}
			// one that has enough runs its last row again: each must stay in its place
			if ahead[i].Logits = token >= 0 && place+1 < starts[i].most; ahead[i].Logits {
				ahead[i].Token, more = token, true
				ahead[i].Position++
			}
		}
		if !more {
			return drafts, nil, nil
		}
		program = d.next
		if err := d.machine.run(program, ahead, d.nowhere); err != nil {
			return nil, nil, err
		}
	}
}

// blocks drafts with DSpark: all guesses of a draft at once, and then each corrected by the one before.
type blocks struct {
	machine               *Machine
	context, block, chain *program
	size                  int
	noise                 int32
	nowhere               [][]int32 // as in chained
	logits, score         []float32
}

func (d *blocks) places() int { return d.size }

func (d *blocks) draft(rows []op.Row, starts []beginning, choose func(i, place int, logits []float32) int32) (drafts [][]int32, scores [][]float32, err error) {
	if err := d.machine.run(d.context, rows, d.nowhere); err != nil {
		return nil, nil, err
	}
	drafts, scores = make([][]int32, len(starts)), make([][]float32, len(starts))
	atOnce := d.block.Caps.Rows / d.size
	for first := 0; first < len(starts); first += atOnce {
		some := starts[first:min(first+atOnce, len(starts))]
		if err := d.guess(rows, some, drafts[first:], scores[first:], func(i, place int, logits []float32) int32 { return choose(first+i, place, logits) }); err != nil {
			return nil, nil, err
		}
	}
	return drafts, scores, nil
}

// guess runs one block for each of some starts.
func (d *blocks) guess(rows []op.Row, starts []beginning, drafts [][]int32, scores [][]float32, choose func(i, place int, logits []float32) int32) error {
	var block []op.Row
	for _, s := range starts {
		for k := range d.size {
			r := op.Row{Token: d.noise, Slot: rows[s.row].Slot, Position: rows[s.row].Position + 1 + int32(k), Logits: k < s.most}
			if k == 0 {
				r.Token = rows[s.row].Token
			}
			block = append(block, r)
		}
	}
	if err := d.machine.run(d.block, block, d.nowhere); err != nil {
		return err
	}
	chain := slices.DeleteFunc(block, func(r op.Row) bool { return !r.Logits })
	for place := 0; ; place++ {
		more := false
		for at, i := 0, 0; i < len(starts); at, i = at+starts[i].most, i+1 {
			for k := range starts[i].most {
				chain[at+k].Logits = k == place && len(drafts[i]) == place
				more = more || chain[at+k].Logits
			}
		}
		if !more {
			return nil
		}
		if err := d.machine.run(d.chain, chain, d.nowhere); err != nil {
			return err
		}
		wanted := 0
		for at, i := 0, 0; i < len(starts); at, i = at+starts[i].most, i+1 {
			if place >= starts[i].most || !chain[at+place].Logits {
				continue
			}
			err := d.machine.read(d.chain, deepseek.DraftLogitsName, wanted, d.logits)
			if err == nil {
				err = d.machine.read(d.chain, deepseek.ConfidenceName, wanted, d.score)
			}
			if err != nil {
				return err
			}
			wanted++
			token := choose(i, place, d.logits)
			if token < 0 {
				continue
			}
			drafts[i], scores[i] = append(drafts[i], token), append(scores[i], d.score[0])
			if place+1 < starts[i].most {
				chain[at+place+1].Token = token
			}
		}
	}
}
