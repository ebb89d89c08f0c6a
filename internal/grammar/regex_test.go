package grammar

import (
	"regexp"
	"testing"
)

var patterns = []string{
	`hello`, `a*`, `a+b+`, `(foo|bar|foobar)+`, `[a-z]{3,8}`, `[^a-z]{2,5}`, `\d{3}-\d{4}`, `(?i)straße`, `.*`, `.{5,}x`, `[\x{400}-\x{4ff}]{1,4}`,
	`[\x{10000}-\x{10ffff}]`, `(a|ab)(c|bcd)(d*)`, `^abc$`, `(^a|b)c`, `x{0}`, `(a?){5}`, `(|a)+`, `\w+@\w+\.(com|org)`, `[\x{800}-\x{ffff}]b`, `(?s).+`,
	`((a{1,3}b){1,3}c){1,3}`, `\\\"\/`, `[\u0041-\u0043]+`, `("|\\")*`, `日本(語|人)?`, `[\u{1f600}-\u{1f64f}]\u00e9`, `\ud83d\ude42+`,
}

func TestRegex(t *testing.T) {
	for _, pattern := range patterns {
		g, err := Regex(pattern)
		if err != nil {
			t.Fatalf("%s: %v", pattern, err)
		}
		match := regexp.MustCompile(`^(?:` + ecma(pattern) + `)$`)
		for seed := range uint64(20) {
			for _, v := range []*Vocabulary{toy(), demo()} {
				if text, _ := answer(t, g, v, seed, 3+int(seed)*2); !match.MatchString(text) {
					t.Fatalf("%s: made %q", pattern, text)
				}
			}
			checkMasks(t, g, toy(), seed, 6)
		}
		checkMasks(t, g, demo(), 5, 6)
	}
}
