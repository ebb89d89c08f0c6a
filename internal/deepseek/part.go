package deepseek

import (
	"strconv"
	"strings"

	"baleen/internal/op"
)

// PartOf tells where in the model an op belongs: the number of its layer, or -1, and the group that its time and cost are
// reported under, as the names of what it writes and its kind say: attn_proj, attn_core, indexer, compress, router, experts,
// shared, hc, norm, head, embed.
func PartOf(p *op.Program, o op.Op) (layer int, group string) {
	name, kind := "", op.KindOf(o)
	for _, operand := range op.Operands(o) {
		if operand.Writes {
			name = p.Buffer(operand.ID).Name
			break
		}
	}
	inside, ok := strings.CutPrefix(name, "layers.")
	if !ok {
		if name == "embed" {
			return -1, "embed"
		}
		return -1, "head"
	}
	number, inside, _ := strings.Cut(inside, ".")
	layer, err := strconv.Atoi(number)
	if err != nil {
		return -1, "head"
	}
	return layer, groupOf(inside, kind)
}

// places are the groups of names within a layer; the first that fits counts.
var places = [...]struct{ prefix, group string }{
	{"hc_", "hc"},
	{"attn.indexer.", "indexer"},
	{"attn.compressor.", "compress"},
	{"ffn.gate.", "router"},
	{"ffn.shared.", "shared"},
}

func groupOf(name, kind string) string {
	if strings.HasPrefix(kind, "hc") {
		return "hc"
	}
	for _, place := range places {
		if strings.HasPrefix(name, place.prefix) {
			return place.group
		}
	}
	attention := strings.HasPrefix(name, "attn.")
	switch {
	case strings.Contains(kind, "norm"):
		return "norm"
	case attention && (strings.Contains(kind, "linear") || strings.HasSuffix(name, ".quantised")):
		return "attn_proj"
	case attention:
		return "attn_core"
	}
	return "experts"
}
