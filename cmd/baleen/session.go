package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"baleen/internal/chat"
	"baleen/internal/checkpoint"
	"baleen/internal/engine"
	"baleen/internal/token"
)

// session is a conversation with a model, or one answer of it.
type session struct {
	checkpoint *checkpoint.Checkpoint
	machine    *engine.Machine
	engine     *engine.Engine
	tokenizer  *token.Tokenizer
	bos        int32
	limits     engine.Limits
	context    int
	encoding   chat.Encoding
	request    chat.Request

	out, aside io.Writer // the answer; all else
	dim        bool      // aside is a terminal
	stats      bool
}

func (s *session) close() {
	s.engine.Close()
	s.machine.Close()
	s.checkpoint.Close()
}

// reset begins a new conversation.
func (s *session) reset(system string) {
	s.request.Messages = nil
	if system != "" {
		s.request.Messages = []chat.Message{{Role: "system", Content: text(system)}}
	}
}

func text(content string) []chat.Part { return []chat.Part{{Type: "text", Text: content}} }

// think says whether the next answers are thought about.
func (s *session) think(on bool) {
	s.request.Encoding, s.request.Mode, s.request.Effort = s.encoding, chat.Chat, "none"
	if on {
		s.request.Mode, s.request.Effort = chat.Thinking, "high" // what a request means that names no effort (formats spec 4.3)
	}
}

// once answers a single prompt.
func (s *session) once(ctx context.Context, prompt string) error {
	finish, err := s.answer(ctx, prompt)
	if err != nil {
		return err
	}
	return s.ending(finish)
}

// answer sends what the user says, with the conversation before it, and shows the answer while it is made. Both become
// part of the conversation, unless nothing was answered.
func (s *session) answer(ctx context.Context, prompt string) (engine.Finish, error) {
	request := s.request
	request.Messages = append(request.Messages[:len(request.Messages):len(request.Messages)], chat.Message{Role: "user", Content: text(prompt)})
	pieces, err := chat.Render(&request)
	if err != nil {
		return engine.Finish{}, err
	}
	ids, err := s.tokenizer.EncodePieces(pieces)
	if err != nil {
		return engine.Finish{}, err
	}
	parser := chat.NewParser(chat.Options{Mode: request.Mode, NoTools: true})
	show := &shower{session: s}
	finish, err := s.generate(ctx, ids, func(bytes []byte) error { return show.deltas(parser.Feed(bytes)) })
	if err != nil {
		return finish, err
	}
	deltas, reply := parser.Finish(finish.Err != nil || finish.Reason != engine.AtStop)
	if err := show.deltas(deltas); err != nil {
		return finish, err
	}
	s.request.Messages = append(request.Messages, chat.Message{Role: "assistant", Content: text(reply.Content), Reasoning: reply.Reasoning})
	return finish, show.end()
}

// complete continues raw text.
func (s *session) complete(ctx context.Context, text string) error {
	var decoder token.Decoder
	ids := append([]int32{s.bos}, s.tokenizer.Encode(text)...)
	finish, err := s.generate(ctx, ids, func(bytes []byte) error { return writeTo(s.out, decoder.Feed(bytes)) })
	if err != nil {
		return err
	}
	if err := writeTo(s.out, decoder.Flush()+"\n"); err != nil {
		return err
	}
	return s.ending(finish)
}

// generate runs a prompt and hands out the bytes of the answer as they come.
func (s *session) generate(ctx context.Context, ids []int32, use func([]byte) error) (engine.Finish, error) {
	stream, err := s.engine.Submit(ids, s.limits)
	if err != nil {
		return engine.Finish{}, err
	}
	n := 0
	for {
		item, ok := stream.Next(ctx)
		if !ok {
			break
		}
		n++
		if err := use(item.Bytes); err != nil {
			stream.Cancel()
			return engine.Finish{}, err
		}
	}
	finish := stream.Finish()
	if s.stats {
		s.report(len(ids), n, finish)
	}
	return finish, nil
}

// report says how fast an answer was.
func (s *session) report(prompt, answer int, f engine.Finish) {
	rate := func(n int, d time.Duration) float64 { return float64(n) / max(d.Seconds(), 1e-9) }
	fmt.Fprintf(s.aside, "\n(prompt %d tokens, %.1f tokens/s, first token after %v; answer %d tokens, %.1f tokens/s)\n",
		prompt, rate(prompt, f.First-f.Started), (f.First - f.Submitted).Round(time.Millisecond), answer, rate(answer-1, f.Ended-f.First))
}

// ending turns an end that the user did not ask for into an error.
func (s *session) ending(f engine.Finish) error {
	switch {
	case f.Err != nil:
		return f.Err
	case f.Reason == engine.AtContext:
		return fault("context full", fmt.Sprintf("the answer was cut at %d tokens", s.context), "ask for less, or give a larger --context if the model has it")
	}
	return nil
}

func writeTo(w io.Writer, text string) error {
	if _, err := io.WriteString(w, text); err != nil {
		return fault("cannot write", fmt.Sprintf("the answer (%s)", reason(err)), "check where it goes")
	}
	return nil
}

// shower writes an answer: content to the one side, reasoning, dimmed, to the other.
type shower struct {
	*session
	thinking bool
}

const (
	dim   = "\x1b[2m"
	plain = "\x1b[0m"
)

func (s *shower) deltas(deltas []chat.Delta) error {
	for _, d := range deltas {
		if d.Reasoning != "" {
			if !s.thinking && s.dim {
				fmt.Fprint(s.aside, dim)
			}
			s.thinking = true
			fmt.Fprint(s.aside, d.Reasoning)
		}
		if d.Content == "" {
			continue
		}
		s.stopThinking()
		if err := writeTo(s.out, d.Content); err != nil {
			return err
		}
	}
	return nil
}

// stopThinking ends the reasoning on the side where it is shown.
func (s *shower) stopThinking() {
	if !s.thinking {
		return
	}
	s.thinking = false
	if s.dim {
		fmt.Fprint(s.aside, plain)
	}
	fmt.Fprint(s.aside, "\n\n")
}

// end ends the answer's last line.
func (s *shower) end() error {
	s.stopThinking()
	return writeTo(s.out, "\n")
}
