package serve

import (
	"net/http"
)

// wire writes answers in one of the wire forms.
type wire interface {
	begin()                    // of a stream, before the first token
	event(event)               // of a stream; never an end with an error
	idle()                     // of a stream, while it goes on
	end(usage)                 // of a stream
	broken(*apiError)          // of a stream, in place of its end
	whole([]*reply, usage) any // the answers at once
}

// reply is a choice as a whole.
type reply struct {
	reasoning, content  []byte
	reasoningLogs, logs []tokenLog
	calls               []replyCall
	end                 *ending
}

type replyCall struct {
	callHead
	arguments []byte
	done      bool
}

// add adds an event of the choice.
func (r *reply) add(e event) {
	switch e.kind {
	case onReasoning:
		r.reasoning = append(r.reasoning, e.text...)
		r.reasoningLogs = append(r.reasoningLogs, e.logs...)
	case onContent:
		r.content = append(r.content, e.text...)
		r.logs = append(r.logs, e.logs...)
	case onCall:
		r.calls = append(r.calls, replyCall{callHead: e.call})
	case onArguments:
		last := &r.calls[len(r.calls)-1]
		last.arguments = append(last.arguments, e.text...)
	case onCallEnd:
		r.calls[len(r.calls)-1].done = true
	case onEnd:
		r.end = e.end
		r.dropUnfinished()
	}
}

// dropUnfinished drops a call that was cut off: nobody could run it (formats spec 4.10).
func (r *reply) dropUnfinished() {
	if n := len(r.calls); n > 0 && !r.calls[n-1].done {
		r.calls = r.calls[:n-1]
	}
}

// answer makes the answers of an ask and writes them, as a stream or at once.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, a *ask, form func(*sse) wire) {
	if err := s.overflow(a); err != nil {
		fail(w, r, err)
		return
	}
	all, err := s.start(r.Context(), a)
	if err != nil {
		fail(w, r, err)
		return
	}
	if a.stream {
		out := newSSE(w, s.guard.StallTimeout)
		s.stream(out, all, form(out))
	} else {
		s.whole(w, r, all, form(nil))
	}
}

// stream writes the events of answers as they come.
func (s *Server) stream(out *sse, all *answers, form wire) {
	out.reading = all.reading
	out.open()
	form.begin()
	var broken *apiError
	idle := func() bool {
		form.idle()
		return out.err == nil
	}
	complete := all.each(s.options.KeepAlive, idle, func(e event) bool {
		if e.kind == onEnd && e.end.err != nil {
			broken = e.end.err
			return false
		}
		form.event(e)
		return out.err == nil
	})
	switch {
	case broken != nil:
		form.broken(broken)
	case complete && out.err == nil: // else the client is gone, or too slow
		form.end(all.usage())
	}
}

// whole writes answers at once. Empty lines before them keep the connection alive, as with the hosted service; the status is
// then 200, whatever comes.
func (s *Server) whole(w http.ResponseWriter, r *http.Request, all *answers, form wire) {
	replies := make([]*reply, len(all.list))
	for i := range replies {
		replies[i] = &reply{}
	}
	out := newSSE(w, s.guard.StallTimeout)
	w.Header().Set("Content-Type", "application/json")
	idle := func() bool {
		out.raw("\n")
		return out.err == nil
	}
	status, body := http.StatusOK, any(nil)
	complete := all.each(s.options.KeepAlive, idle, func(e event) bool {
		replies[e.choice].add(e)
		if e.kind == onEnd && e.end.err != nil {
			status, body = e.end.err.status, errorBody(r.URL.Path, e.end.err)
		}
		return body == nil
	})
	switch {
	case !complete && body == nil || out.err != nil:
		return // the client is gone, or too slow
	case body == nil:
		body = form.whole(replies, all.usage())
	}
	if !out.begun {
		tellWhen(w.Header(), status)
		w.WriteHeader(status)
	}
	out.raw(string(appendJSON(nil, body)) + "\n")
}
