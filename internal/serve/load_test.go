package serve

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// unending is a request whose answer goes on to the end of the context, unless it is stopped. It is large, so that a connection
// that is not read is soon full.
const unending = `{"prompt":"Once upon a time","max_tokens":100000,"temperature":1,"logit_bias":{"1":-100},"logprobs":20,"stream":true}`

// listening serves the demo as `baleen serve` does, until the test ends, and returns its address.
func listening(t *testing.T, r *rig) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.server.Serve(ctx, l, nil, 0) }()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return l.Addr().String()
}

// tally is what clients of a load test saw.
type tally struct {
	mu              sync.Mutex
	gaps, first     []time.Duration
	answers, busy   int
	tokens          int
	unexpected      []string
	client          *http.Client
	address, prompt string
	length          int // tokens of an answer
}

func (y *tally) fail(format string, args ...any) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.unexpected = append(y.unexpected, fmt.Sprintf(format, args...))
}

// ask streams one answer and notes its times. One that is refused for want of room is asked for again later.
func (y *tally) ask(seed int) {
	body := fmt.Sprintf(`{"messages":[{"role":"user","content":%q}],"max_tokens":%d,"temperature":1,"seed":%d,"stream":true}`, y.prompt, y.length, seed)
	began := time.Now()
	response, err := y.client.Post("http://"+y.address+"/v1/chat/completions", "application/json", strings.NewReader(body))
	if err != nil {
		y.fail("%v", err)
		return
	}
	defer response.Body.Close()
	switch after, _ := strconv.Atoi(response.Header.Get("Retry-After")); {
	case (response.StatusCode == http.StatusTooManyRequests || response.StatusCode == http.StatusServiceUnavailable) && after > 0:
		y.mu.Lock()
		y.busy++
		y.mu.Unlock()
		time.Sleep(time.Duration(after) * 50 * time.Millisecond) // as a client would, in short
		return
	case response.StatusCode != http.StatusOK:
		text, _ := io.ReadAll(response.Body)
		y.fail("status %d: %s", response.StatusCode, text)
		return
	}
	y.read(response.Body, began)
}

func (y *tally) read(body io.Reader, began time.Time) {
	var gaps []time.Duration
	var first time.Duration
	last, ended := began, false
	for lines := bufio.NewScanner(body); lines.Scan(); {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if data == "[DONE]" {
			ended = true
			break
		}
		var chunk struct {
			Choices []struct{ Delta struct{ Content string } }
			Error   any
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil || chunk.Error != nil {
			y.fail("%s: %v", data, err)
			return
		}
		if len(chunk.Choices) == 0 || chunk.Choices[0].Delta.Content == "" {
			continue
		}
		if now := time.Now(); first == 0 {
			first, last = now.Sub(began), now
		} else {
			gaps = append(gaps, now.Sub(last))
			last = now
		}
	}
	if !ended {
		y.fail("an answer was cut off after %d pieces", len(gaps)+1)
		return
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	y.answers++
	y.tokens += len(gaps) + 1
	y.gaps, y.first = append(y.gaps, gaps...), append(y.first, first)
}

func (y *tally) report(t *testing.T, took time.Duration) {
	t.Helper()
	share := func(list []time.Duration, percent int) time.Duration {
		if len(list) == 0 {
			return 0
		}
		slices.Sort(list)
		return list[(len(list)*percent+99)/100-1].Round(10 * time.Microsecond)
	}
	t.Logf("%d answers, %d refused for want of room, %.0f pieces/s; to the first piece: median %v, p99 %v; between pieces: median %v, p99 %v",
		y.answers, y.busy, float64(y.tokens)/took.Seconds(), share(y.first, 50), share(y.first, 99), share(y.gaps, 50), share(y.gaps, 99))
	for i, what := range y.unexpected {
		if i < 10 {
			t.Error(what)
		}
	}
	if y.answers == 0 {
		t.Error("nothing was answered")
	}
}

// heap is the memory in use after what is no longer used was given back.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Many streams at once, more of them than the queue takes: nothing goes wrong but refusals for want of room, and memory
// does not grow.
func TestLoad(t *testing.T) {
	length, tokens, most := 2*time.Second, 16, uint64(8<<20)
	if *full {
		length, tokens = 5*time.Minute, 64
	}
	r := newRig(t, nil)
	y := &tally{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 128}}, address: listening(t, r), prompt: "Tell me a story about a dog.", length: tokens}
	defer y.client.CloseIdleConnections()
	load := func(clients int, length time.Duration) {
		var running sync.WaitGroup
		end := time.Now().Add(length)
		for i := range clients {
			running.Go(func() {
				for n := 0; time.Now().Before(end); n++ {
					y.ask(i*1_000_000 + n)
				}
			})
		}
		running.Wait()
	}
	load(64, length/8) // until all pools and caches have their size
	before := heap()
	y.gaps, y.first, y.answers, y.busy, y.tokens = nil, nil, 0, 0, 0
	load(64, length)
	y.report(t, length)
	if y.busy > 0 {
		t.Errorf("%d of 64 streams were refused", y.busy)
	}
	load(80, length/8)
	if y.busy == 0 {
		t.Error("nobody was refused beyond the limit")
	}
	y.gaps, y.first = nil, nil
	if after := heap(); after > before+most {
		t.Errorf("memory grew from %d to %d bytes", before, after)
	} else {
		t.Logf("memory: %d KiB before, %d KiB after", before>>10, after>>10)
	}
}

// bad is a client that does not behave. It tells when it has begun, and goes on until stop is closed.
type bad func(address string, begun func(), stop <-chan struct{}) error

func connect(address, text string) (*net.TCPConn, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	tcp := c.(*net.TCPConn)
	if err := tcp.SetReadBuffer(4 << 10); err != nil {
		return nil, err
	}
	_, err = io.WriteString(c, text)
	return tcp, err
}

func head(length int) string {
	return fmt.Sprintf("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", length)
}

func neverReads(address string, begun func(), stop <-chan struct{}) error {
	c, err := connect(address, head(len(unending))+unending)
	if err != nil {
		return err
	}
	begun()
	<-stop
	return c.Close()
}

func sendsByteByByte(address string, begun func(), stop <-chan struct{}) error {
	c, err := connect(address, head(len(unending)))
	if err != nil {
		return err
	}
	defer c.Close()
	begun()
	for i := range len(unending) - 1 {
		if _, err := c.Write([]byte(unending[i : i+1])); err != nil {
			return nil // it was thrown out
		}
		select {
		case <-stop:
			return nil
		case <-time.After(time.Second):
		}
	}
	return nil
}

func disconnects(address string, begun func(), stop <-chan struct{}) error {
	c, err := connect(address, head(len(unending))+unending)
	if err != nil {
		return err
	}
	if _, err := io.ReadAtLeast(c, make([]byte, 4096), 200); err != nil { // some of the stream, or a refusal
		c.Close()
		begun()
		return nil
	}
	begun()
	return c.Close()
}

// story streams one long answer with draws, and tells when it has begun. It returns the text and the longest time between two pieces.
func (r *rig) story(address string, begun func()) (text string, longest time.Duration) {
	const body = `{"messages":[{"role":"user","content":"Tell me a story about a cat."}],"max_tokens":700,"temperature":1,"seed":3,"logit_bias":{"1":-100},"stream":true}`
	defer begun()
	response, err := http.Post("http://"+address+"/v1/chat/completions", "application/json", strings.NewReader(body))
	if err != nil {
		r.Error(err)
		return "", 0
	}
	defer response.Body.Close()
	var told strings.Builder
	last := time.Now()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		data, _ := strings.CutPrefix(lines.Text(), "data: ")
		var chunk struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if json.Unmarshal([]byte(data), &chunk) != nil || len(chunk.Choices) == 0 {
			told.WriteString(strings.TrimSpace(lines.Text()) + "|") // errors, and the end
			continue
		}
		told.WriteString(chunk.Choices[0].Delta.Content)
		if told.Len() > 0 {
			begun()
			now := time.Now()
			last, longest = now, max(longest, now.Sub(last))
		}
	}
	return told.String(), longest
}

// Clients that never read, that send a byte a second, and that disconnect in the middle of a stream: others are answered as
// if they were not there, those that were under way and those that come later, and what they held is free within a second
// after they are gone.
func TestBadClients(t *testing.T) {
	for _, c := range []struct {
		name string
		act  bad
		few  int // clients, unless all are asked for
	}{{"never reads", neverReads, 16}, {"sends a byte a second", sendsByteByByte, 100}, {"disconnects", disconnects, 100}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			address := listening(t, r)
			alone := r.whoAreYou()
			story, calm := r.story(address, func() {})
			clients, limit := c.few, 30*time.Second
			if *full {
				clients, limit = 1000, time.Second
			}
			stop := make(chan struct{})
			var begun, running sync.WaitGroup
			var failed atomic.Int64
			beside := make(chan struct{})
			running.Go(func() {
				got, longest := r.story(address, sync.OnceFunc(func() { close(beside) }))
				if got != story {
					t.Errorf("a stream beside bad clients: %q, alone: %q", got, story)
				}
				t.Logf("between two pieces of a stream beside them at most %v, alone %v", longest, calm)
			})
			<-beside
			for range clients {
				begun.Add(1)
				running.Go(func() {
					tell := sync.OnceFunc(begun.Done)
					if err := c.act(address, tell, stop); err != nil {
						failed.Add(1)
					}
					tell()
				})
			}
			for range 2 {
				if got := r.whoAreYou(); got != alone {
					t.Errorf("among bad clients: %q, alone: %q", got, alone)
				}
			}
			begun.Wait()
			gone := time.Now()
			close(stop)
			for now := r.server.options.Engine.Stats(); now.Running+now.Waiting > 1; now = r.server.options.Engine.Stats() { // one is the stream beside them
				if time.Since(gone) > limit {
					t.Fatalf("slots are still held: %+v", now)
				}
				time.Sleep(time.Millisecond)
			}
			t.Logf("%d clients, %d of them could not connect; only the stream beside them was left, or nobody, after %v", clients, failed.Load(), time.Since(gone).Round(time.Millisecond))
			running.Wait()
			if got := r.whoAreYou(); got != alone {
				t.Errorf("after bad clients: %q, alone: %q", got, alone)
			}
		})
	}
}

// whoAreYou asks what has one answer, as often as it is refused for want of room.
func (r *rig) whoAreYou() string {
	r.Helper()
	var answer struct {
		Choices []struct{ Message struct{ Content string } }
	}
	for {
		status, text := r.post("/v1/chat/completions", `{"messages":[{"role":"user","content":"Who are you?"}],"temperature":0}`)
		if status == http.StatusTooManyRequests {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if err := json.Unmarshal([]byte(text), &answer); status != http.StatusOK || err != nil {
			r.Fatalf("%d %s: %v", status, text, err)
		}
		return answer.Choices[0].Message.Content
	}
}
