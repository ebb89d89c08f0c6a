package token

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func pieces(text string) (pieces []string) {
	loadClasses().split(text, func(piece string) { pieces = append(pieces, piece) })
	return pieces
}

// The consequences that formats spec 3.1 spells out, and others that are easy to get wrong.
func TestSplitByHand(t *testing.T) {
	for text, want := range map[string]string{
		"12345678":            "123|456|78",
		"a1b":                 "a|1|b",
		"  123":               "  |123",
		"   x":                "  | x",
		" \n\n  x":            " \n\n| | x",
		"\r\n":                "\r\n",
		"a \t\n \r  ":         "a| \t\n \r|  ",
		"ア・イ":                 "ア|・|イ",
		"中文English混合":         "中文|English|混合",
		"don't":               "don|'t",
		"foo.bar(baz);\n":     "foo|.bar|(baz|);\n",
		" ._name!":            " ._|name|!",
		"_name":               "_name",
		"a\u200bb":            "a|\u200bb",
		"\u0378\u0378\u0378b": "\u0378\u0378|\u0378b",
		"\ue000\ue000 !":      "\ue000\ue000| !",
		"e\u0301!\u0301x":     "e\u0301|!|\u0301x",
		"\ta\n\tb":            "\ta|\n|\tb",
		"x٣Ⅷ½²y":              "x|٣Ⅷ½|²|y",
		"":                    "",
	} {
		if got := strings.Join(pieces(text), "|"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func checkSplit(t *testing.T, r *reference, text string) {
	t.Helper()
	if got, want := pieces(text), r.split(text); !slices.Equal(got, want) {
		t.Fatalf("%q:\n got %q\nwant %q", text, got, want)
	}
}

func TestSplitRandom(t *testing.T) {
	r := newReference(t, read(t, demoFile))
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		checkSplit(t, r, randomText(random))
	}
}

// All strings of up to five of the characters that the expressions tell apart.
func TestSplitExhaustive(t *testing.T) {
	alphabet := []string{"a", "é", "\u0301", "1", "!", "—", " ", "\t", "\n", "\u200b", "あ", "・"}
	r := newReference(t, read(t, demoFile))
	var texts func(front string, n int)
	texts = func(front string, n int) {
		checkSplit(t, r, front)
		for _, c := range alphabet {
			if n > 0 {
				texts(front+c, n-1)
			}
		}
	}
	texts("", 5)
}

// Every code point, beside what shows its class. In the planes 4 to 13 nothing is assigned: a few stand for all.
func TestSplitEveryCodePoint(t *testing.T) {
	r := newReference(t, read(t, demoFile))
	var text strings.Builder
	for c := range rune(unicode.MaxRune + 1) {
		if !utf8.ValidRune(c) || c > 0x40000 && c < 0xe0000 && c&0xfff > 1 || c > 0xe1000 && c&0xff < 0xfe {
			continue
		}
		for _, s := range []string{"!", "", "a ", "\n"} {
			text.WriteString(s)
			text.WriteRune(c)
		}
		if text.Len() > 1000 {
			checkSplit(t, r, text.String())
			text.Reset()
		}
	}
	checkSplit(t, r, text.String())
}

// The package comment names this version; another one cuts some texts into other tokens.
func TestUnicodeVersion(t *testing.T) {
	if unicode.Version != "15.0.0" {
		t.Errorf("Go's tables are of Unicode %s: say so in the package comment", unicode.Version)
	}
}
