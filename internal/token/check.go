package token

import "fmt"

// step is one entry of a pre-tokenizer or normaliser.
type step struct {
	Type     string
	Behavior string
	Invert   bool
	Pattern  struct{ Regex string }

	AddPrefixSpace bool  `json:"add_prefix_space"`
	UseRegex       *bool `json:"use_regex"` // absent means true
}

func (p *parser) checkNormalizer() {
	var n *struct {
		Type        string
		Normalizers []step
	}
	p.readPart("normalizer", &n)
	switch {
	case n == nil:
	case n.Type != "Sequence":
		p.fail("normalizer", quote(n.Type), "an empty sequence")
	case len(n.Normalizers) > 0:
		p.fail("normalizer", quote(n.Normalizers[0].Type), "an empty sequence")
	}
}

func (p *parser) checkDecoder() {
	var d step
	p.readPart("decoder", &d)
	if d.Type != "ByteLevel" {
		p.fail("decoder", quote(d.Type), quote("ByteLevel"))
	}
}

func (p *parser) checkPreTokenizer() {
	const where = "pre_tokenizer"
	var s struct {
		Type          string
		Pretokenizers []step
	}
	p.readPart(where, &s)
	if s.Type != "Sequence" || len(s.Pretokenizers) != len(splitExpressions)+1 {
		p.fail(where, fmt.Sprintf("%s of %d steps", quote(s.Type), len(s.Pretokenizers)), "the sequence of 4 of DeepSeek-V3")
		return
	}
	for i, want := range splitExpressions {
		got := s.Pretokenizers[i]
		where := fmt.Sprintf("%s step %d", where, i+1)
		switch {
		case got.Type != "Split" || got.Behavior != "Isolated" || got.Invert:
			p.fail(where, fmt.Sprintf("%s, %s, invert %v", quote(got.Type), quote(got.Behavior), got.Invert), "an isolated split")
		case got.Pattern.Regex != want:
			p.fail(where, "the expression "+quote(got.Pattern.Regex), quote(want))
		}
	}
	last := s.Pretokenizers[len(splitExpressions)]
	if last.Type != "ByteLevel" || last.AddPrefixSpace || last.UseRegex == nil || *last.UseRegex {
		p.fail(where+" step 4", quote(last.Type), "ByteLevel without prefix space and expression")
	}
}
