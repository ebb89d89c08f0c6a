package main

import (
	"context"
	"errors"
	"maps"
	"strings"

	"github.com/spf13/cobra"

	"baleen/internal/chat"
	"baleen/internal/engine"
)

// begin makes a model, or a server, ready to answer.
func (r *running) begin(cmd *cobra.Command, name string) (*session, error) {
	if r.connect == "" {
		return r.open(cmd, name)
	}
	far, err := r.newRemote(cmd)
	if err != nil {
		return nil, err
	}
	s := &session{remote: far, out: cmd.OutOrStdout(), aside: cmd.ErrOrStderr(), dim: isTerminal(cmd.ErrOrStderr()), stats: r.stats}
	s.reset(r.system)
	if r.think || r.noThink {
		s.think(r.think)
	}
	return s, nil
}

// answerRemotely is answer by a server.
func (s *session) answerRemotely(ctx context.Context, prompt string) (engine.Finish, error) {
	said := append(s.request.Messages[:len(s.request.Messages):len(s.request.Messages)], chat.Message{Role: "user", Content: text(prompt)})
	messages := make([]map[string]string, len(said))
	for i, m := range said {
		messages[i] = map[string]string{"role": m.Role, "content": m.Content[0].Text}
	}
	request := map[string]any{"messages": messages}
	if s.thinking != nil {
		request["thinking"] = map[string]string{"type": map[bool]string{true: "enabled", false: "disabled"}[*s.thinking]}
	}
	show := &shower{session: s}
	var reply strings.Builder
	finish, err := s.askRemotely(ctx, "/v1/chat/completions", request, func(d chat.Delta) error {
		reply.WriteString(d.Content)
		return show.deltas([]chat.Delta{d})
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		if show.stopThinking(); reply.Len() > 0 {
			_ = show.end() // err came first
		}
		return finish, err
	}
	s.request.Messages = append(said, chat.Message{Role: "assistant", Content: text(reply.String())})
	finish.Err = err
	return finish, show.end()
}

// completeRemotely is complete by a server.
func (s *session) completeRemotely(ctx context.Context, text string) error {
	request := map[string]any{"prompt": text}
	if s.remote.sampling["max_tokens"] == nil {
		request["max_tokens"] = maxCompletion
	}
	_, err := s.askRemotely(ctx, "/v1/completions", request, func(d chat.Delta) error { return writeTo(s.out, d.Content) })
	if err != nil {
		return err
	}
	return writeTo(s.out, "\n")
}

// maxCompletion is how long raw text becomes where nothing was said: that API's own default is 16 tokens.
const maxCompletion = 1024

// askRemotely sends a request with the flags that were given.
func (s *session) askRemotely(ctx context.Context, path string, request map[string]any, use func(chat.Delta) error) (engine.Finish, error) {
	request["model"], request["stream"], request["stream_options"] = "baleen", true, map[string]bool{"include_usage": true}
	maps.Copy(request, s.remote.sampling)
	progress, shown := func(int, int) {}, false
	if s.dim {
		progress = func(done, total int) { shown = true; s.progress(done, total) }
	}
	hide := func() {
		if shown {
			s.clearProgress()
		}
		shown = false
	}
	s.last = pace{}
	a, err := s.remote.ask(ctx, path, request, func(d chat.Delta) error { hide(); return use(d) }, progress)
	hide()
	if err != nil {
		return engine.Finish{}, err
	}
	s.last = pace{a.prompt, a.answer, a.first, a.first, a.all - a.first}
	s.report()
	return a.ending(), nil
}
