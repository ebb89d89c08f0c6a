package chat

import (
	"strings"

	"baleen/internal/token"
)

// Control tokens that the template writes (formats spec 3.2).
const (
	bos       = "<｜begin▁of▁sentence｜>"
	eos       = "<｜end▁of▁sentence｜>"
	user      = "<｜User｜>"
	assistant = "<｜Assistant｜>"
	reminder  = "<｜latest_reminder｜>"
	think     = "<think>"
	endThink  = "</think>"
	dsml      = "｜DSML｜" // the angle brackets around it are plain text
	readURL   = "<｜extracted_url｜>"

	fimHole  = "<｜fim▁hole｜>"
	fimBegin = "<｜fim▁begin｜>"
	fimEnd   = "<｜fim▁end｜>"
)

// Tags of a block of tool calls, up to where they vary.
const (
	openBlock   = "<" + dsml + "tool_calls>"
	closeBlock  = "</" + dsml + "tool_calls>"
	openInvoke  = "<" + dsml + `invoke name="`
	closeInvoke = "</" + dsml + "invoke>"
	openParam   = "<" + dsml + `parameter name="`
	closeParam  = "</" + dsml + "parameter>"
)

// The text that a tool's description is put in (formats spec 4.2).
const (
	toolsHead = `## Tools

You have access to a set of tools to help answer the user's question. You can invoke tools by writing a "` + openBlock + `" block like the following:

` + openBlock + `
` + openInvoke + `$TOOL_NAME">
` + openParam + `$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE` + closeParam + `
...
` + closeInvoke + `
` + openInvoke + `$TOOL_NAME2">
...
` + closeInvoke + `
` + closeBlock + `

String parameters should be specified as is and set ` + "`string=\"true\"`" + `. For all other types (numbers, booleans, arrays, objects), pass the value in JSON format and set ` + "`string=\"false\"`" + `.

If thinking_mode is enabled (triggered by ` + think + `), you MUST output your complete reasoning inside ` + think + `...` + endThink + ` BEFORE any tool calls or final response.

Otherwise, output directly after ` + endThink + ` with tool calls or final response.

### Available Tool Schemas

`
	toolsTail = `

You MUST strictly follow the above defined tool name and parameter schemas to invoke tool calls.
`
	formatHead = `## Response Format:

You MUST strictly adhere to the following schema to reply:
`
)

// The texts that ask for more thought (formats spec 4.3).
const (
	effortHigh = `Reasoning Effort: Absolute maximum with no shortcuts permitted.
You MUST be very thorough in your thinking and comprehensively decompose the problem to resolve the root cause, rigorously stress-testing your logic against all potential paths, edge cases, and adversarial scenarios.
Explicitly write out your entire deliberation process, documenting every intermediate step, considered alternative, and rejected hypothesis to ensure absolutely no assumption is left unchecked.

`
	effortMax = `Reasoning Effort: Beyond maximum — exhaustive, relentless, and uncompromising.
You MUST reason with the utmost depth and rigor, leaving absolutely nothing to chance: exhaustively decompose the problem into its most fundamental components, trace every causal chain to its root, and resolve the underlying cause rather than any surface symptom.
Do not stop reasoning until you have independently verified the solution from multiple angles and are certain that no assumption remains unchecked and no error remains undiscovered.

`
)

// effortText returns what an effort puts in front of a prompt, and whether the encoding has that effort. The words moved
// by one level between the generations.
func (e Encoding) effortText(effort string) (text string, ok bool) {
	switch effort {
	case "", "none":
		return "", true
	case "low":
		return "", e == V40731
	case "high":
		if e == V40731 {
			text = effortHigh
		}
		return text, true
	case "max":
		if e == V40731 {
			return effortMax, true
		}
		return effortHigh, true
	}
	return "", false
}

// taskToken returns the control token of a quick instruction (formats spec 4.5).
func taskToken(task string) (literal string, ok bool) {
	switch task {
	case "action", "query", "authority", "domain", "title", "read_url":
		return "<｜" + task + "｜>", true
	}
	return "", false
}

// prompt collects pieces.
type prompt []token.Piece

func (p *prompt) control(literal string) {
	*p = append(*p, token.Piece{Text: literal, Control: true})
}

// plain adds text from outside, in which no control token is recognised.
func (p *prompt) plain(text string) {
	if text != "" {
		*p = append(*p, token.Piece{Text: text})
	}
}

// template adds text of ours, in which the three control tokens that occur within lines are recognised.
func (p *prompt) template(text string) {
	for text != "" {
		begin, literal := len(text), ""
		for _, l := range []string{dsml, think, endThink} {
			if i := strings.Index(text[:begin], l); i >= 0 {
				begin, literal = i, l
			}
		}
		p.plain(text[:begin])
		if literal != "" {
			p.control(literal)
		}
		text = text[begin+len(literal):]
	}
}

// FIM returns the prompt that asks for what lies between prefix and suffix. It is documented for the V3 generation; that
// V4 learnt the same order is UNCONFIRMED.
func FIM(prefix, suffix string) []token.Piece {
	var p prompt
	p.control(bos)
	p.control(fimBegin)
	p.plain(prefix)
	p.control(fimHole)
	p.plain(suffix)
	p.control(fimEnd)
	return p
}
