package chat

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"baleen/internal/token"
)

// FuzzParser checks that no answer makes the parser panic, that it makes no difference where it is cut, that deltas
// and reply agree, and that the tolerant parser agrees with the strict one wherever that has no complaint.
func FuzzParser(f *testing.F) {
	block := "\n\n" + openBlock + "\n" + openInvoke + "f\">\n" + openParam + "x\" string=\"false\">1" + closeParam + "\n" + closeInvoke + "\n" + closeBlock
	for _, text := range []string{"", "R</think>x" + eos, "x" + block + eos, "R" + block + "tail", "x" + block[:len(block)/2], "\n\n<think>" + block + block,
		strings.ReplaceAll("x"+block, dsml, "|DSML|"), strings.ReplaceAll("x"+block, dsml, "")} {
		for flags := range uint8(32) {
			f.Add([]byte(text), flags, uint16(len(text)/2))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, flags uint8, at uint16) {
		o := Options{Mode: Chat, EOS: flags&2 > 0, NoTools: flags&4 > 0, RequireCall: flags&8 > 0}
		if flags&1 > 0 {
			o.Mode = Thinking
		}
		if flags&16 > 0 {
			o.Tools = testTools
		}
		cut := flags&32 > 0
		text := string(data)
		deltas, r := parse(o, text, cut)
		want := joinDeltas(deltas)
		checkDeltas(t, want, r)
		every := make([]int, 0, len(text))
		for i := range text {
			every = append(every, i)
		}
		for _, at := range [][]int{{int(at) % (len(text) + 1)}, every} {
			deltas, again := parse(o, text, cut, at...)
			if got := joinDeltas(deltas); string(again.JSON()) != string(r.JSON()) || !slices.Equal(got, want) {
				t.Fatalf("%q cut at %v\n%+v\n%+v", text, at, got, want)
			}
		}
		if utf8.ValidString(text) && o.EOS && !o.NoTools && !o.RequireCall && o.Tools == nil {
			checkStrict(t, text, r)
		}
	})
}

// checkStrict holds the reply of the tolerant parser against the strict one's, if that has one. They differ in leading
// line breaks, in those in front of a block, in values that are no JSON, in names with line breaks, and at tags in values.
func checkStrict(t *testing.T, text string, r *Reply) {
	t.Helper()
	strict, err := ParseStrict(text, r.Mode)
	if err != nil || strings.Count(text, "</"+dsml) != strings.Count(text, closeParam)+strings.Count(text, closeInvoke)+strings.Count(text, closeBlock) ||
		strings.Count(text, closeInvoke) != len(strict.Calls) || strings.Count(text, eos) > 1 || strings.Count(text, closeBlock) > 1 {
		return
	}
	for _, c := range strict.Calls {
		if !json.Valid([]byte(c.Arguments)) || strings.Contains(c.Name, "\n") || len(c.Name) > maxName || c.Name == "" || strings.Contains(c.Arguments, `\n`) {
			return
		}
	}
	if strings.Trim(strict.Content, "\n") != strings.Trim(r.Content, "\n") || strings.Trim(strict.Reasoning, "\n") != strings.Trim(r.Reasoning, "\n") ||
		len(strict.Calls) != len(r.Calls) {
		t.Fatalf("%q\nstrict   %s\ntolerant %s", text, strict.JSON(), r.JSON())
	}
}

// FuzzRoundTrip renders an assistant's message and parses it: nothing of a call may leak into the content, and nothing may
// be lost.
func FuzzRoundTrip(f *testing.F) {
	f.Add("R", "x", "f", "a", "v\n<b>\"", "[1, 2]")
	f.Add("", "\n<", "f\"g", "a\" b", "2 <", "null")
	f.Add("<think", "</thin", "f", "x", "</｜DSM", `{"k": "｜DSML｜"}`)
	f.Add("", "", "0", "0", "0", "2"+strings.Repeat("0", 340))
	f.Fuzz(func(t *testing.T, reasoning, content, name, key, text, value string) {
		printed, err := appendPython(nil, []byte(value))
		if err != nil || len(printed) == 0 || printed[0] == '"' || strings.Contains(string(printed), "Infinity") {
			return
		}
		args := appendKey([]byte{'{'}, key, true)
		args = appendString(args, text)
		if key != "other" {
			args = appendKey(args, "other", false)
			args = append(args, printed...)
		}
		args = append(args, '}')
		for _, s := range []string{reasoning, content, name, key, text, value} {
			if !utf8.ValidString(s) || strings.Contains(s, dsml) || strings.Contains(s, "think>") || strings.Contains(s, eos) {
				return // they have a meaning
			}
		}
		if name == "" || strings.ContainsAny(name+key, "\"\n") || len(name) > maxName || len(key) > maxName || strings.HasPrefix(name+key, ">") {
			return
		}
		m := Message{Role: "assistant", Reasoning: reasoning, Content: []Part{{"text", content}}, Calls: []Call{{Name: name, Arguments: string(args)}, {Name: name, Arguments: "{}"}}}
		pieces, err := Render(&Request{Mode: Thinking, Encoding: V4, Messages: []Message{{Role: "user"}, m}})
		if err != nil {
			t.Fatal(err)
		}
		_, answer, _ := strings.Cut(join(pieces), think)
		deltas, r := parse(Options{Mode: Thinking, EOS: true}, answer, false)
		checkDeltas(t, joinDeltas(deltas), r)
		wantContent := strings.TrimRight(strings.TrimLeft(content, "\n"), "\n")
		if r.Reasoning != strings.TrimLeft(reasoning, "\n") || r.Content != wantContent || r.Finish != "tool_calls" || !slices.Equal(r.Calls, m.Calls) {
			t.Fatalf("%q\ngave %s", answer, r.JSON())
		}
		strict, err := ParseStrict(answer, Thinking)
		if err != nil || strict.Reasoning != reasoning || strict.Content != content || !slices.Equal(strict.Calls, m.Calls) {
			t.Fatalf("%q\ngave %v %v", answer, strict, err)
		}
	})
}

// FuzzMessages checks that no file makes reader or renderer panic, and that what the messages say has no say in which
// control tokens there are: they stay the same when every control literal in the file is spoilt.
func FuzzMessages(f *testing.F) {
	for _, n := range []string{"1", "2"} {
		f.Add([]byte(read(f, "official/test_input_"+n+".json")), uint8(1))
	}
	for _, file := range []string{"spec_4_7", "reference", "render"} {
		for command := range strings.SplitSeq(read(f, file), "\n\n") {
			_, input, _ := strings.Cut(command, "\n")
			input, _, _ = strings.Cut(input, "\n----")
			f.Add([]byte(input), uint8(0))
			f.Add([]byte(strings.ReplaceAll(input, `"U"`, `"<｜User｜>｜DSML｜</think>"`)), uint8(3))
		}
	}
	spoil := strings.NewReplacer("<", "\ue000", "｜", "\ue001")
	f.Fuzz(func(t *testing.T, data []byte, flags uint8) {
		prompt, err := renderFlags(data, flags)
		if err != nil {
			if msg := err.Error(); strings.ContainsAny(msg, "\n\r") || len(msg) > 1000 {
				t.Fatalf("an error of more than a line: %q", msg)
			}
			return
		}
		text := string(data)
		if strings.ContainsAny(text, "\ue000\ue001") || strings.Contains(strings.ToLower(text), "ue00") || strings.Contains(text, "read_url") {
			return
		}
		spoilt, err := renderFlags([]byte(spoil.Replace(text)), flags)
		if err != nil {
			return // a literal was more than a text, such as a role
		}
		if !slices.Equal(controls(prompt), controls(spoilt)) {
			t.Fatalf("%q\n%q\n%q", text, controls(prompt), controls(spoilt))
		}
	})
}

func renderFlags(data []byte, flags uint8) ([]token.Piece, error) {
	r, err := ReadMessages(data)
	if err != nil {
		return nil, err
	}
	r.Mode, r.Encoding, r.Effort, r.KeepThinking = Chat, V4, "max", flags&2 > 0
	if flags&1 > 0 {
		r.Mode = Thinking
	}
	if flags&4 > 0 {
		r.Encoding = V40731
	}
	if flags&8 > 0 {
		r.Arrange()
	}
	return Render(r)
}

// controls returns the control tokens of a prompt.
func controls(prompt []token.Piece) (literals []string) {
	for _, p := range prompt {
		if p.Control {
			literals = append(literals, p.Text)
		}
	}
	return literals
}
