package serve

import "strings"

// Bounds of stop strings. DeepSeek's service takes 16 of them, OpenAI's fewer.
const (
	maxStops     = 16
	maxStopBytes = 1024
)

// stopper watches the answer for stop strings. What thinks and what calls tools is not looked at (formats spec 4.10), which
// is why the engine, which knows no text, does not do this. The string that is complete first wins, then the longest.
type stopper struct {
	stops []string
	held  string // may be the beginning of a stop string
	hit   string // the one that was reached
}

// feed takes more text and returns what is certainly no part of a stop string. At a stop string it returns what was before
// it and sets hit.
func (s *stopper) feed(text string) string {
	s.held += text
	end, begin := len(s.held)+1, 0
	for _, stop := range s.stops {
		i := strings.Index(s.held, stop)
		if at := i + len(stop); i >= 0 && (at < end || at == end && i < begin) {
			end, begin, s.hit = at, i, stop
		}
	}
	if s.hit == "" {
		begin = len(s.held) - s.pending()
	}
	send := s.held[:begin]
	s.held = s.held[begin:]
	return send
}

// pending is the length of the longest end of what is held that a stop string begins with.
func (s *stopper) pending() int {
	longest := 0
	for _, stop := range s.stops {
		for n := min(len(stop)-1, len(s.held)); n > longest; n-- {
			if strings.HasSuffix(s.held, stop[:n]) {
				longest = n
			}
		}
	}
	return longest
}

// flush returns what is held: it was no stop string.
func (s *stopper) flush() string {
	if s.hit != "" {
		return ""
	}
	send := s.held
	s.held = ""
	return send
}
