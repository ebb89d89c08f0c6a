package serve

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"baleen/internal/chat"
	"baleen/internal/grammar"
)

// constrain compiles what the answers of an ask must be, if it must be anything.
func (s *Server) constrain(a *ask) *apiError {
	content, err := s.content(a.format)
	if err != nil {
		return err
	}
	c := a.conversation
	if c == nil {
		a.language = content
		return nil
	}
	if c.begun && content != nil {
		return refuse(a.param, "bad request: %s: found an answer that is begun and a format for all of it, expected one of them", a.param)
	}
	a.language = content
	if tools := c.callable(); len(tools) > 0 {
		if a.language, err = s.calls(a, content); err != nil {
			return err
		}
	}
	if c.parsing().Mode == chat.Thinking && (content != nil || c.choice.required) { // else thinking is part of it
		a.language = a.language.AfterThinking()
	}
	return nil
}

// content compiles a format; nil is free text.
func (s *Server) content(f format) (*grammar.Grammar, *apiError) {
	compile := map[formatKind]func() (*grammar.Grammar, error){
		asObject:  func() (*grammar.Grammar, error) { return grammar.JSONObject(), nil },
		asSchema:  func() (*grammar.Grammar, error) { return grammar.JSONSchema([]byte(f.text)) },
		asPattern: func() (*grammar.Grammar, error) { return grammar.Regex(f.text) },
		asGrammar: func() (*grammar.Grammar, error) { return grammar.EBNF(f.text) },
	}[f.kind]
	if compile == nil {
		return nil, nil
	}
	g, err := s.languages.get(fmt.Sprintf("%d %s", f.kind, f.text), compile)
	if err != nil {
		return nil, refuse(f.param, "bad request: %s: %s", f.param, oneLine(err.Error()))
	}
	return g, nil
}

// calls compiles the calls that an answer may make.
func (s *Server) calls(a *ask, content *grammar.Grammar) (*grammar.Grammar, *apiError) {
	c := a.conversation
	o := grammar.ToolOptions{Required: c.choice.required, Single: !c.parallel, Content: content}
	var tools []grammar.Tool
	key := fmt.Sprintf("tools %t %t %d %s", o.Required, o.Single, a.format.kind, a.format.text)
	for _, t := range c.schemas {
		if c.choice.only == nil || slices.Contains(c.choice.only, t.name) {
			tools = append(tools, grammar.Tool{Name: t.name, Parameters: t.parameters})
			key += fmt.Sprintf(" %q %t %s", t.name, t.strict, t.parameters)
		}
	}
	g, err := s.languages.get(key, func() (*grammar.Grammar, error) {
		g, err := grammar.Tools(tools, o)
		if err != nil && s.relax(c, tools) {
			return grammar.Tools(tools, o)
		}
		return g, err
	})
	if err != nil {
		return nil, refuse("tools", "%s", oneLine(err.Error()))
	}
	return g, nil
}

// anyObject is the schema of a tool that may be called with anything.
const anyObject = `{"type":"object"}`

// relax opens tools whose schema has what cannot be enforced, and tells whether there were any: agents offer such tools, and
// check arguments themselves. A strict tool stays as it is.
func (s *Server) relax(c *conversation, tools []grammar.Tool) (relaxed bool) {
	for i, t := range tools {
		strict := slices.ContainsFunc(c.schemas, func(s toolSchema) bool { return s.name == t.Name && s.strict })
		if _, err := grammar.Tools(tools[i:i+1], grammar.ToolOptions{}); err != nil && !strict {
			why := "--log-prompts tells"
			if s.guard.LogPrompts { // it has names of the request's
				why = oneLine(err.Error())
			}
			s.guard.Log.Warn("arguments of a tool are not enforced", "tool", i, "why", why)
			tools[i].Parameters, relaxed = json.RawMessage(anyObject), true
		}
	}
	return relaxed
}

// languages keeps compiled grammars, which also remember masks: an agent sends the same tools with every request. The one that
// was not used for longest goes first.
type languages struct {
	mu   sync.Mutex
	used []language // the latest last
}

type language struct {
	key     string
	grammar *grammar.Grammar
	err     error
}

const maxLanguages = 128

// get returns the grammar of a key, compiled if need be.
func (l *languages) get(key string, compile func() (*grammar.Grammar, error)) (*grammar.Grammar, error) {
	l.mu.Lock()
	i := slices.IndexFunc(l.used, func(k language) bool { return k.key == key })
	if i >= 0 {
		found := l.used[i]
		l.used = append(slices.Delete(l.used, i, i+1), found)
		l.mu.Unlock()
		return found.grammar, found.err
	}
	l.mu.Unlock()
	g, err := compile()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.used = append(l.used, language{key, g, err}); len(l.used) > maxLanguages {
		l.used = slices.Delete(l.used, 0, 1)
	}
	return g, err
}
