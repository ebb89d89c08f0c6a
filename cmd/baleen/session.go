package main

import (
	"context"
	"fmt"
	"io"
	"sync"
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

	remote   *remote // answers in place of an engine; then those fields are not there
	thinking *bool   // of remote: nil is as the server likes

	out, aside io.Writer // the answer; all else
	dim        bool      // aside is a terminal
	stats      bool
	markdown   *markdown // out shows it; or nil
	last       pace
}

// pace is how fast an answer was.
type pace struct {
	prompt, answer            int           // tokens
	reading, first, answering time.Duration // the prompt; up to the first token; after it
}

func (s *session) close() {
	if s.remote != nil {
		return
	}
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
	s.thinking = &on
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
	if s.remote != nil {
		return s.answerRemotely(ctx, prompt)
	}
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
	if s.remote != nil {
		return s.completeRemotely(ctx, text)
	}
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
	stop := s.follow(stream)
	defer stop()
	for {
		item, ok := stream.Next(ctx)
		stop()
		if !ok {
			break
		}
		n++
		if err := use(item.Bytes); err != nil {
			stream.Cancel()
			return engine.Finish{}, err
		}
	}
	f := stream.Finish()
	s.last = pace{len(ids), n, f.First - f.Started, f.First - f.Submitted, f.Ended - f.First}
	s.report()
	return f, nil
}

// report says how fast an answer was, if that was asked for.
func (s *session) report() {
	if !s.stats {
		return
	}
	p := s.last
	fmt.Fprintf(s.aside, "\n(prompt %d tokens, %.1f tokens/s, first token after %v; answer %d tokens, %.1f tokens/s)\n",
		p.prompt, rate(p.prompt, p.reading), p.first.Round(time.Millisecond), p.answer, rate(p.answer-1, p.answering))
}

func rate(n int, d time.Duration) float64 { return float64(n) / max(d.Seconds(), 1e-9) }

const progressEvery = 500 * time.Millisecond

// follow shows at a terminal how far a long prompt was read, until stop is called.
func (s *session) follow(stream *engine.Stream) (stop func()) {
	if !s.dim {
		return func() {}
	}
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		every := time.NewTicker(progressEvery)
		defer every.Stop()
		for shown := false; ; shown = true {
			select {
			case <-every.C:
				s.progress(stream.Progress())
			case <-done:
				if shown {
					s.clearProgress()
				}
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(done)
		<-gone
	})
}

// progress shows how far the prompt was read, on a line that goes away.
func (s *session) progress(done, total int) {
	fmt.Fprintf(s.aside, "\r(reading: %d of %d tokens)\x1b[K", done, total)
}

func (s *session) clearProgress() { fmt.Fprint(s.aside, "\r\x1b[K") }

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
		if err := s.show(d.Content); err != nil {
			return err
		}
	}
	return nil
}

func (s *shower) show(content string) error {
	if s.markdown != nil {
		return s.markdown.write(content)
	}
	return writeTo(s.out, content)
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
	if s.markdown != nil {
		if err := s.show("\n"); err != nil {
			return err
		}
		return s.markdown.flush()
	}
	return writeTo(s.out, "\n")
}
