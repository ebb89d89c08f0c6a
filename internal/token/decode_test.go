package token

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// whatwg decodes as the algorithm of the WHATWG encoding standard does ("UTF-8 decoder"), byte by byte.
func whatwg(data string) string {
	var text strings.Builder
	var point rune
	needed, lower, upper := 0, byte(0x80), byte(0xbf)
	for i := 0; i < len(data); i++ {
		b := data[i]
		if needed == 0 {
			switch {
			case b < 0x80:
				text.WriteByte(b)
			case 0xc2 <= b && b <= 0xdf:
				needed, point = 1, rune(b&0x1f)
			case 0xe0 <= b && b <= 0xef:
				needed, point = 2, rune(b&0xf)
			case 0xf0 <= b && b <= 0xf4:
				needed, point = 3, rune(b&0x7)
			default:
				text.WriteString("\ufffd")
			}
			switch b {
			case 0xe0:
				lower = 0xa0
			case 0xed:
				upper = 0x9f
			case 0xf0:
				lower = 0x90
			case 0xf4:
				upper = 0x8f
			}
			continue
		}
		if b < lower || b > upper {
			text.WriteString("\ufffd")
			i-- // the byte is looked at again
			needed = 0
		} else if point, needed = point<<6|rune(b&0x3f), needed-1; needed == 0 {
			text.WriteRune(point)
		}
		lower, upper = 0x80, 0xbf
	}
	if needed > 0 {
		text.WriteString("\ufffd")
	}
	return text.String()
}

// chunked decodes data in chunks that end at the places ends.
func chunked(d *Decoder, data string, ends ...int) string {
	var text strings.Builder
	begin := 0
	for _, end := range ends {
		text.WriteString(d.Feed([]byte(data[begin:end])))
		begin = end
	}
	text.WriteString(d.Feed([]byte(data[begin:])))
	text.WriteString(d.Flush())
	return text.String()
}

// broken holds the examples of the Unicode standard (15.0, tables 3-8 to 3-11) and some more. R is U+FFFD.
var broken = map[string]string{
	"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41":             "RRRRRRRRA",
	"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41":             "RRRRRRRRA",
	"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42":             "RRRRRARRB",
	"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41":             "RRRRA",
	"\x61\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63\x80\xbf": "aRRRbRcRR",
	"\xf0\x9f\x99\x82\xf0\x9f\x99":                     "🙂R",
	"\xf0\x9f\x99\xf0\x9f\x99\x82":                     "R🙂",
	"é\xc3":                                            "éR",
	"\ufffd\x00":                                       "R\x00",
	"":                                                 "",
}

func TestDecoder(t *testing.T) {
	var d Decoder
	for data, want := range broken {
		want = strings.ReplaceAll(want, "R", "\ufffd")
		if got := whatwg(data); got != want {
			t.Errorf("%q: the reference gives %q, want %q", data, got, want)
		}
		for i := range len(data) + 1 {
			for j := i; j <= len(data); j++ {
				if got := chunked(&d, data, i, j); got != want {
					t.Errorf("%q cut at %d and %d: %q, want %q", data, i, j, got, want)
				}
			}
		}
	}
}

// Strings of up to eight bytes at the borders that UTF-8 knows, byte by byte.
func TestDecoderRandom(t *testing.T) {
	const borders = "a\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xec\xed\xee\xef\xf0\xf1\xf3\xf4\xf5\xff"
	random := rand.New(rand.NewPCG(13, 14))
	var d Decoder
	for i := range 200_000 {
		data := make([]byte, i%9)
		ends := make([]int, len(data))
		for k := range data {
			data[k] = borders[random.IntN(len(borders))]
			ends[k] = k + 1
		}
		if got, want := chunked(&d, string(data), ends...), whatwg(string(data)); got != want {
			t.Fatalf("%q: %q, want %q", data, got, want)
		}
	}
}

// What is complete comes at once, and only that.
func TestDecoderHoldsBack(t *testing.T) {
	var d Decoder
	for _, step := range []struct{ chunk, want string }{
		{"a\xf0", "a"}, {"\x9f", ""}, {"\x99", ""}, {"", ""}, {"\x82b", "🙂b"}, {"\xe4\xb8", ""}, {"x", "\ufffdx"}, {"\xff\xc3", "\ufffd"}, {"\xa9", "é"},
	} {
		if got := d.Feed([]byte(step.chunk)); got != step.want {
			t.Errorf("%q gives %q, want %q", step.chunk, got, step.want)
		}
	}
	if got := d.Flush(); got != "" {
		t.Errorf("%q was left", got)
	}
}

// A decoder neither writes to a chunk nor keeps it.
func TestDecoderLeavesChunks(t *testing.T) {
	var d Decoder
	chunk := []byte("\xf0\x9f....")[:2]
	d.Feed(chunk)
	chunk[0] = 'x'
	if got := d.Feed([]byte("\x99\x82")); got != "🙂" || string(chunk[:6]) != "x\x9f...." {
		t.Errorf("%q, chunk %q", got, chunk[:6])
	}
}
