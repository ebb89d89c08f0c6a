package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"baleen/internal/deepseek"
	"baleen/internal/op"
	"baleen/internal/serve"
)

// serving is what `baleen serve` was asked for.
type serving struct {
	placing
	addr, config         string
	context, slots       int
	chunk, queue         int
	kvMemory, kvDiskSize byteSize
	kvDisk               string
	log                  *slog.Logger
	keyFile              string
	perKey               int
	cert, key            string
	origins, hosts       []string
	maxBody              byteSize
	stall, drain         time.Duration
	logFormat, logLevel  choice
	logPrompts           bool
	collector, servedAs  string
}

const (
	slotCheckpoints = 4  // of prefixes in memory, for each slot:
	moreCheckpoints = 16 // and so many more: conversations go on, and branch

	serveDisk    = 16 << 30
	serveContext = 131072  // positions of a sequence, unless the model or --context says less
	serveState   = 4 << 30 // bytes of pages, unless --kv-memory says otherwise, or one sequence needs more
)

func newServe() *cobra.Command {
	var s serving
	cmd := &cobra.Command{
		Use:   "serve [MODEL]",
		Short: "Answer requests of the OpenAI and Anthropic APIs, and show a page",
		Long: `Serve answers the chat, completions and Responses APIs of OpenAI and the Messages API of Anthropic, and shows a page for a
browser. Without a MODEL it serves the tiny model inside this program. It prints its address when it is ready.

Only this machine can call unless --addr says otherwise. Give --api-key-file then, and --tls-cert and --tls-key where the
network is not yours. SIGTERM or Ctrl-C lets the answers under way end, for as long as --drain-timeout; a second one does not.

All flags can be in a YAML file too, without the dashes: "addr: 0.0.0.0:8000". A flag wins over the file.`,
		Example: `  baleen serve
  baleen serve /models/DeepSeek-V4-Flash --addr 0.0.0.0:8000 --api-key-file /etc/baleen/keys
  baleen serve --config /etc/baleen/serve.yaml
  ANTHROPIC_BASE_URL=http://127.0.0.1:8000 ANTHROPIC_AUTH_TOKEN=none claude`,
		Args:              arguments(0, 1),
		ValidArgsFunction: completeModel,
		RunE:              s.run,
	}
	s.placing.flags(cmd)
	s.speculation(cmd)
	s.flags(cmd)
	return cmd
}

func (s *serving) flags(cmd *cobra.Command) {
	s.logFormat = choice{"text", []string{"text", "json"}}
	s.logLevel = choice{"info", []string{"debug", "info", "warn", "error"}}
	f := cmd.Flags()
	f.StringVar(&s.addr, "addr", "127.0.0.1:8000", "address and port to listen on; port 0 is a free one")
	f.StringVar(&s.config, "config", "", "YAML file of flags")
	f.StringVar(&s.servedAs, "model-name", "", "what the model is called in answers (default: MODEL's last part)")
	f.IntVar(&s.context, "context", serveContext, "positions of one request, prompt and answer together; at most the model's")
	f.IntVar(&s.slots, "slots", 16, "requests that run at the same time")
	f.IntVar(&s.chunk, "chunk", 128, "tokens that run together: a long prompt holds up other answers by no more than these")
	f.IntVar(&s.queue, "queue", 256, "requests that are taken, running and waiting; more are told to come back (429)")
	f.Var(&s.kvMemory, "kv-memory", "memory for what requests remember (default: 4GiB, or what all slots need, if that is less)")
	f.StringVar(&s.kvDisk, "kv-disk", "", "folder that keeps what requests remember when memory is full, and over a restart; it is for one server")
	f.Var(&s.kvDiskSize, "kv-disk-size", "bytes of --kv-disk at most (default: 16GiB)")
	f.StringVar(&s.keyFile, "api-key-file", "", "file of keys, one per line, read at the start; a request must have one of them")
	f.IntVar(&s.perKey, "per-key", 0, "requests of one key at the same time; 0 is no bound")
	f.StringVar(&s.cert, "tls-cert", "", "PEM file of a certificate; it is read again when it is renewed")
	f.StringVar(&s.key, "tls-key", "", "PEM file of the certificate's key")
	f.StringSliceVar(&s.origins, "cors", nil, "origin of web pages that may call, such as https://chat.example; * is all")
	f.StringSliceVar(&s.hosts, "allow-host", nil, "host name, besides localhost, that requests may be for when there are no keys")
	f.Var(&s.maxBody, "max-body", "largest request (default: 32MiB)")
	f.DurationVar(&s.stall, "stall-timeout", 750*time.Millisecond, "give up a client that takes nothing of a stream for this long")
	f.DurationVar(&s.drain, "drain-timeout", time.Minute, "let answers go on for this long after SIGTERM")
	f.Var(&s.logFormat, "log-format", "form of the log, on standard error")
	f.Var(&s.logLevel, "log-level", "least level of the log")
	f.BoolVar(&s.logPrompts, "log-prompts", false, "log what requests say, too")
	f.StringVar(&s.collector, "otel-endpoint", "", "send traces to this OpenTelemetry collector, such as http://localhost:4318; in builds with -tags otel")
}

func (s *serving) run(cmd *cobra.Command, args []string) error {
	name, err := s.configure(cmd, args)
	if err != nil {
		return err
	}
	s.log = s.logger(cmd)
	operation, certificate, err := s.operation(cmd)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", s.addr)
	if err != nil {
		return fault("cannot listen", fmt.Sprintf("%s (%v)", s.addr, err), "give another --addr")
	}
	defer listener.Close()
	operation.Local = isLocal(listener.Addr())
	if !operation.Local && len(operation.Keys) == 0 {
		operation.Log.Warn("anybody who reaches this machine can use the model", "mend", "give --api-key-file")
	}
	up, err := s.open(cmd, name)
	if err != nil {
		return err
	}
	defer up.close()
	server, err := up.server(s, operation)
	if err != nil {
		return err
	}
	scheme := map[bool]string{false: "http", true: "https"}[certificate != nil]
	fmt.Fprintf(cmd.OutOrStdout(), "baleen is ready: %s://%s\n", scheme, listener.Addr())
	tellSystemd("READY=1")
	context.AfterFunc(cmd.Context(), func() { tellSystemd("STOPPING=1") })
	defer operation.Tracer.Close(context.WithoutCancel(cmd.Context()))
	return server.Serve(cmd.Context(), listener, certificate, s.drain)
}

// configure reads the file of flags, and checks them all.
func (s *serving) configure(cmd *cobra.Command, args []string) (name string, err error) {
	name = demoName
	if s.config != "" {
		if err := applyConfig(cmd.Flags(), s.config, &name); err != nil {
			return "", err
		}
	}
	if len(args) > 0 {
		name = args[0]
	}
	for _, c := range []struct {
		flag         string
		value, least int
	}{{"context", s.context, 2}, {"slots", s.slots, 1}, {"chunk", s.chunk, 1}, {"queue", s.queue, 1}, {"per-key", s.perKey, 0}} {
		if c.value < c.least {
			return "", misuse("bad value of a flag", fmt.Sprintf("--%s %d", c.flag, c.value), fmt.Sprintf("give %d or more", c.least))
		}
	}
	switch {
	case s.stall <= 0 || s.drain < 0:
		return "", misuse("bad value of a flag", "--stall-timeout or --drain-timeout", "give a time such as 1s")
	case (s.cert == "") != (s.key == ""):
		return "", misuse("flags belong together", "--tls-cert and --tls-key", "give both")
	case s.kvDiskSize > 0 && s.kvDisk == "":
		return "", misuse("flags belong together", "--kv-disk-size", "give --kv-disk too")
	case s.perKey > 0 && s.keyFile == "":
		return "", misuse("flags belong together", "--per-key", "give --api-key-file too")
	case s.queue < s.slots:
		return "", misuse("flags do not go together", fmt.Sprintf("--queue %d and --slots %d", s.queue, s.slots), "the queue counts running requests too: make it the larger one")
	}
	return name, nil
}

// operation makes what stands around the APIs.
func (s *serving) operation(cmd *cobra.Command) (o serve.Operation, c *serve.Certificate, err error) {
	o = serve.Operation{
		PerKey: s.perKey, Origins: s.origins, Hosts: s.hosts, MaxBody: int64(s.maxBody), StallTimeout: s.stall,
		Log: s.log, LogPrompts: s.logPrompts,
	}
	if s.keyFile != "" {
		if o.Keys, err = readKeys(s.keyFile); err != nil {
			return o, nil, err
		}
	}
	if s.cert != "" {
		if c, err = serve.LoadCertificate(s.cert, s.key); err != nil {
			return o, nil, err
		}
	}
	if s.collector != "" {
		if o.Tracer, err = serve.NewTracer(cmd.Context(), s.collector); err != nil {
			return o, nil, usageError{err}
		}
	}
	return o, c, nil
}

func (s *serving) logger(cmd *cobra.Command) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(s.logLevel.word)) // the flag takes only levels
	options := &slog.HandlerOptions{Level: level}
	if s.logFormat.word == "json" {
		return slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), options))
	}
	return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), options))
}

// isLocal tells whether only this machine reaches an address.
func isLocal(a net.Addr) bool {
	parsed, err := netip.ParseAddrPort(a.String())
	return err == nil && parsed.Addr().IsLoopback()
}

// caps are the capacities that the flags, the model and the memory for state allow. checkpoints is the memory for those of
// prefixes.
func (s *serving) caps(m *deepseek.Model) (caps op.Caps, checkpoints int64, err error) {
	context := min(s.context, m.Config.MaxContext)
	one := (context-1)/op.PageSize + 1
	caps = op.Caps{Rows: max(s.chunk, s.slots), Slots: s.slots, Pages: one, Context: context}
	between := caps
	between.Rows = 1
	size := stateSize(m, between)
	page := int64(size.PerToken * op.PageSize)
	checkpoints = int64(s.slots*slotCheckpoints+moreCheckpoints) * size.Slot
	memory := int64(s.kvMemory)
	if memory == 0 {
		memory = max(serveState, page*int64(one)) + checkpoints
	}
	checkpoints = min(checkpoints, memory/4)
	caps.Pages = int(min((memory-checkpoints)/max(page, 1), int64(one)*int64(s.slots+1)))
	if caps.Pages < 1 {
		return caps, 0, misuse("too little memory for state", fmt.Sprintf("--kv-memory %d bytes", memory), fmt.Sprintf("give at least %d: a page of %d positions, and checkpoints", 2*page, op.PageSize))
	}
	return caps, checkpoints, nil
}

// stateSize is what sequences remember for the model and for its drafter.
func stateSize(m *deepseek.Model, caps op.Caps) deepseek.StateSize {
	size := m.StateSize(m.Forward(caps))
	for _, p := range []*op.Program{m.Draft(caps), m.DraftContext(caps)} {
		if p != nil {
			size.Slot += m.StateSize(p).Slot
		}
	}
	return size
}
