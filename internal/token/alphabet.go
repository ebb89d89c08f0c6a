package token

// A vocabulary writes bytes as printable characters: 33-126, 161-172 and 174-255 as the characters of these numbers, the
// other 68 in increasing order as U+0100 and up (formats spec 3.1).
var (
	byteRunes = makeByteRunes()
	runeBytes = makeRuneBytes()
)

func makeByteRunes() (runes [256]rune) {
	other := rune(0x100)
	for b := range runes {
		if 33 <= b && b <= 126 || 161 <= b && b <= 172 || 174 <= b {
			runes[b] = rune(b)
		} else {
			runes[b] = other
			other++
		}
	}
	return runes
}

func makeRuneBytes() map[rune]byte {
	bytes := make(map[rune]byte, 256)
	for b, r := range byteRunes {
		bytes[r] = byte(b)
	}
	return bytes
}

// appendAlphabet appends the bytes that token writes. A token with other characters in it stands for itself, as in the
// reference.
func appendAlphabet(dst []byte, token string) []byte {
	begin := len(dst)
	for _, r := range token {
		b, ok := runeBytes[r]
		if !ok {
			return append(dst[:begin], token...)
		}
		dst = append(dst, b)
	}
	return dst
}
