package serve

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"baleen/internal/engine"
)

// metrics is what /metrics tells. Times are in seconds, sizes in bytes.
type metrics struct {
	registry *prometheus.Registry

	inFlight      prometheus.Gauge
	requests      *prometheus.CounterVec   // by route and status
	requestTime   *prometheus.HistogramVec // by route
	bytesIn, sent prometheus.Counter
	errors        *prometheus.CounterVec // by kind

	queued, first, between, whole prometheus.Histogram
	promptSize, answerSize        prometheus.Histogram
	prompt                        *prometheus.CounterVec // by cache: hit or miss
	output                        prometheus.Counter
	finished                      *prometheus.CounterVec // by reason
	drift                         *prometheus.CounterVec // by kind

	stats  func() engine.Stats
	drafts drafting
}

// Buckets reach from the demo on a fast machine to the largest model read from a disk.
var (
	waits  = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800}
	steps  = []float64{.001, .0025, .005, .01, .02, .03, .05, .075, .1, .15, .25, .5, 1, 2.5, 5, 10, 30}
	counts = prometheus.ExponentialBuckets(16, 4, 9) // to a million
)

func newMetrics(stats func() engine.Stats) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), stats: stats}
	m.inFlight = prometheus.NewGauge(prometheus.GaugeOpts{Name: "baleen_http_requests_in_flight", Help: "HTTP requests that are being answered."})
	m.requests = counterVec("http_requests_total", "HTTP requests answered.", "route", "status")
	m.requestTime = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "baleen_http_request_seconds", Help: "Time from a request to the end of its answer.", Buckets: waits}, []string{"route"})
	m.bytesIn = counter("http_received_bytes_total", "Bytes of request bodies.")
	m.sent = counter("http_sent_bytes_total", "Bytes of answers.")
	m.errors = counterVec("errors_total", "Errors: panics, failed runs of the model, refusals for want of room.", "kind")
	m.queued = histogram("queue_seconds", "Time that a request waited for a slot.", waits)
	m.first = histogram("time_to_first_token_seconds", "Time from a request to its first token.", waits)
	m.between = histogram("time_per_output_token_seconds", "Time between two tokens of an answer.", steps)
	m.whole = histogram("answer_seconds", "Time from a request to the last token.", waits)
	m.promptSize = histogram("prompt_tokens", "Tokens of a prompt.", counts)
	m.answerSize = histogram("answer_tokens", "Tokens of an answer.", counts)
	m.prompt = counterVec("prompt_tokens_total", "Tokens of prompts, by whether the cache had them.", "cache")
	m.output = counter("output_tokens_total", "Tokens of answers.")
	m.finished = counterVec("answers_total", "Answers that ended, by why.", "reason")
	m.drift = counterVec("drift_total", "Signs that state or arithmetic went wrong: loop, nan, control_token, acceptance.", "kind")
	for _, kind := range driftKinds {
		m.drift.WithLabelValues(string(kind)) // zero is worth telling: an alert needs a first value
	}
	m.registry.MustRegister(m.inFlight, m.requests, m.requestTime, m.bytesIn, m.sent, m.errors, m.queued, m.first, m.between, m.whole,
		m.promptSize, m.answerSize, m.prompt, m.output, m.finished, m.drift, engineCollector(stats),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: "baleen_" + name, Help: help})
}

func counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "baleen_" + name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "baleen_" + name, Help: help, Buckets: buckets})
}

// handler answers /metrics.
func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// request counts an HTTP request.
func (m *metrics) request(route string, status int, took time.Duration, in, out int64) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.requestTime.WithLabelValues(route).Observe(took.Seconds())
	m.bytesIn.Add(float64(in))
	m.sent.Add(float64(out))
}

// refused counts a request that the engine did not take.
func (m *metrics) refused(err error) {
	if errors.Is(err, engine.ErrBusy) {
		m.errors.WithLabelValues("busy").Inc()
	}
}

// ended counts an answer.
func (m *metrics) ended(f engine.Finish, prompt, answer int) {
	if f.Started > 0 {
		m.queued.Observe((f.Started - f.Submitted).Seconds())
	}
	if f.First > 0 {
		m.first.Observe((f.First - f.Submitted).Seconds())
		m.promptSize.Observe(float64(prompt))
		m.answerSize.Observe(float64(answer))
		m.prompt.WithLabelValues("hit").Add(float64(f.Cached))
		m.prompt.WithLabelValues("miss").Add(float64(prompt - f.Cached))
	}
	m.whole.Observe((f.Ended - f.Submitted).Seconds())
	why := ended(f)
	if why == endedBroken {
		m.errors.WithLabelValues("engine").Inc()
	}
	m.finished.WithLabelValues(why).Inc()
}

// endedBroken is the end of an answer that the engine could not complete.
const endedBroken = "error"

// ended says in a word why an answer ended.
func ended(f engine.Finish) string {
	switch {
	case errors.Is(f.Err, context.Canceled):
		return "cancelled"
	case errors.Is(f.Err, engine.ErrClosed):
		return "closed"
	case f.Err != nil:
		return endedBroken
	}
	return f.Reason.String()
}

// engineStat is one number of the engine's that is told as it is.
type engineStat struct {
	about *prometheus.Desc
	kind  prometheus.ValueType
	value func(*engine.Stats) float64
}

// engineStats reads the engine's numbers when they are asked for, all in one snapshot.
type engineStats struct {
	stats  func() engine.Stats
	list   []engineStat
	drafts []engineStat // told where the engine drafts: elsewhere they would say that nothing is accepted
}

func engineCollector(stats func() engine.Stats) *engineStats {
	c := &engineStats{stats: stats}
	add := func(kind prometheus.ValueType, name, help string, value func(*engine.Stats) float64) {
		c.list = append(c.list, engineStat{prometheus.NewDesc("baleen_engine_"+name, help, nil, nil), kind, value})
	}
	draft := func(kind prometheus.ValueType, name, help string, value func(*engine.Stats) float64) {
		c.drafts = append(c.drafts, engineStat{prometheus.NewDesc("baleen_"+name, help, nil, nil), kind, value})
	}
	gauge, count := prometheus.GaugeValue, prometheus.CounterValue
	add(gauge, "running", "Requests that have a slot.", func(s *engine.Stats) float64 { return float64(s.Running) })
	add(gauge, "waiting", "Requests in the queue.", func(s *engine.Stats) float64 { return float64(s.Waiting) })
	add(gauge, "batch_rows", "Tokens of the batch that runs.", func(s *engine.Stats) float64 { return float64(s.Rows) })
	add(gauge, "slots", "Sequences that can run at once.", func(s *engine.Stats) float64 { return float64(s.Slots) })
	add(gauge, "pages", "Pages of state.", func(s *engine.Stats) float64 { return float64(s.Pages) })
	add(gauge, "free_pages", "Pages of state that nothing is in.", func(s *engine.Stats) float64 { return float64(s.FreePages) })
	add(count, "submitted_total", "Requests taken.", func(s *engine.Stats) float64 { return float64(s.Submitted) })
	add(count, "refused_total", "Requests refused because the queue was full.", func(s *engine.Stats) float64 { return float64(s.Busy) })
	add(count, "preempted_total", "Times that a sequence was put back for want of pages.", func(s *engine.Stats) float64 { return float64(s.Preempted) })
	add(gauge, "cache_pages", "Pages of prefixes, some of them in use.", func(s *engine.Stats) float64 { return float64(s.Remembered) })
	add(gauge, "cache_checkpoints", "Checkpoints of prefixes in memory.", func(s *engine.Stats) float64 { return float64(s.Checkpoints) })
	add(gauge, "cache_checkpoint_bytes", "Memory of checkpoints.", func(s *engine.Stats) float64 { return float64(s.CheckpointBytes) })
	add(gauge, "cache_disk_bytes", "Files of prefixes.", func(s *engine.Stats) float64 { return float64(s.DiskBytes) })
	add(count, "prompt_tokens_total", "Tokens of prompts that were run.", func(s *engine.Stats) float64 { return float64(s.Prompt) })
	add(count, "cached_tokens_total", "Tokens of prompts that were answered from memory or disk.", func(s *engine.Stats) float64 { return float64(s.Cached) })
	add(count, "awaited_tokens_total", "Of cached_tokens_total, those that another request was computing.", func(s *engine.Stats) float64 { return float64(s.Awaited) })
	add(count, "answer_tokens_total", "Tokens of answers.", func(s *engine.Stats) float64 { return float64(s.Answer) })
	add(count, "cache_evicted_pages_total", "Pages of prefixes that were given up.", func(s *engine.Stats) float64 { return float64(s.Evicted) })
	add(count, "cache_files_read_total", "Cache files read.", func(s *engine.Stats) float64 { return float64(s.Read) })
	add(count, "cache_files_written_total", "Cache files written.", func(s *engine.Stats) float64 { return float64(s.Written) })
	add(count, "cache_files_refused_total", "Cache files that were no good, and were deleted.", func(s *engine.Stats) float64 { return float64(s.Refused) })
	add(count, "cache_files_unwritten_total", "Cache files that could not be written.", func(s *engine.Stats) float64 { return float64(s.Unwritten) })
	add(count, "batches_total", "Batches run.", func(s *engine.Stats) float64 { return float64(s.Batches) })
	add(count, "batch_rows_total", "Tokens run, of prompts and answers.", func(s *engine.Stats) float64 { return float64(s.BatchRows) })
	add(count, "forward_seconds_total", "Time in the model.", func(s *engine.Stats) float64 { return s.Forward.Seconds() })
	add(count, "sampling_seconds_total", "Time in choosing tokens.", func(s *engine.Stats) float64 { return s.Sampling.Seconds() })
	draft(count, "drafting_seconds_total", "Time in the drafter.", func(s *engine.Stats) float64 { return s.Drafting.Seconds() })
	draft(count, "draft_tokens_total", "Guesses at next tokens that the model verified.", func(s *engine.Stats) float64 { return float64(s.Drafted.Sum()) })
	draft(count, "accepted_tokens_total", "Guesses at next tokens that stood.", func(s *engine.Stats) float64 { return float64(s.Accepted.Sum()) })
	draft(gauge, "draft_acceptance", "Share of the guesses at next tokens that stood, since the start.", acceptance)
	draft(gauge, "draft_first_acceptance", "Share of the first guesses of drafts that stood, since the start.", func(s *engine.Stats) float64 {
		return float64(s.Accepted[0]) / float64(max(s.Drafted[0], 1))
	})
	return c
}

// acceptance is the share of guesses that stood, or 0 where there were none.
func acceptance(s *engine.Stats) float64 {
	return float64(s.Accepted.Sum()) / float64(max(s.Drafted.Sum(), 1))
}

// Describe implements prometheus.Collector.
func (c *engineStats) Describe(out chan<- *prometheus.Desc) {
	for _, s := range slices.Concat(c.list, c.drafts) {
		out <- s.about
	}
}

// Collect implements prometheus.Collector.
func (c *engineStats) Collect(out chan<- prometheus.Metric) {
	now := c.stats()
	list := c.list
	if now.Drafts {
		list = slices.Concat(list, c.drafts)
	}
	for _, s := range list {
		out <- prometheus.MustNewConstMetric(s.about, s.kind, s.value(&now))
	}
}
