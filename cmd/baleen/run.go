package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"baleen/internal/engine"
	"baleen/internal/op"
)

// running is what `baleen run` was asked for.
type running struct {
	placing
	sampling
	raw, think, noThink bool
	system              string
	context             int
	stats               bool
	connect, keyFile    string
}

const (
	runRows    = 64    // tokens of a prompt that run together
	runContext = 32768 // positions that state is made for, unless the model or --context says less
)

func newRun() *cobra.Command {
	var r running
	cmd := &cobra.Command{
		Use:   "run [MODEL] [PROMPT]",
		Short: "Answer a prompt, or talk",
		Long: `Run answers PROMPT. Without a PROMPT it talks with you if it is started in a terminal, else the prompt is standard
input. Without a MODEL it uses the tiny model inside this program, and says so.

The answer goes to standard output; what the model thinks before it, and everything else, to standard error. Sampling is
as the model's generation_config.json says, where no flags are given. The same --seed gives the same text.`,
		Example: `  baleen run "Tell me a story about Mia and the kite."
  baleen run /models/DeepSeek-V4-Flash "Why is the sky blue?" --no-think
  baleen run /models/DeepSeek-V4-Flash
  baleen run demo --raw "Once upon a time" --max-tokens 50 --seed 1
  baleen run demo < question.txt
  baleen run --connect http://127.0.0.1:8000`,
		Args:              arguments(0, 2),
		ValidArgsFunction: completeModel,
		RunE:              r.run,
	}
	r.placing.flags(cmd)
	r.speculation(cmd)
	r.sampling.flags(cmd)
	cmd.Flags().BoolVar(&r.raw, "raw", false, "continue the text as it is, without the chat form")
	cmd.Flags().BoolVar(&r.think, "think", false, "think before the answer: the default, but for the demo")
	cmd.Flags().BoolVar(&r.noThink, "no-think", false, "answer at once")
	cmd.Flags().StringVar(&r.system, "system", "", "system prompt")
	cmd.Flags().IntVar(&r.context, "context", runContext, "positions to make room for, prompt and answer together; at most the model's")
	cmd.Flags().BoolVar(&r.stats, "stats", false, "say on standard error how fast it was")
	cmd.Flags().StringVar(&r.connect, "connect", "", "let a running server answer, such as http://127.0.0.1:8000; MODEL is left out")
	cmd.Flags().StringVar(&r.keyFile, "api-key-file", "", "file whose first line is the key for --connect")
	return cmd
}

func (r *running) run(cmd *cobra.Command, args []string) error {
	name, prompt, given := modelAndPrompt(args)
	if r.connect != "" {
		if len(args) > 1 {
			return misuse("wrong number of arguments", "MODEL and --connect", "leave MODEL out: the server has one")
		}
		name, prompt, given = "", strings.Join(args, ""), len(args) == 1
	}
	if err := r.check(); err != nil {
		return err
	}
	talks := !given && isTerminal(cmd.InOrStdin())
	if r.raw && talks {
		return misuse("no text to continue", "--raw", "give a PROMPT, or pipe one in")
	}
	if !given && !talks {
		text, err := textArgument(cmd, nil)
		if err != nil {
			return err
		}
		prompt = strings.TrimRight(text, "\r\n")
		if r.raw {
			prompt = text
		}
	}
	if prompt == "" && !talks {
		return fault("empty prompt", "PROMPT or standard input", "give some text")
	}
	if name == demoName && (len(args) == 0 || args[0] != demoName) {
		fmt.Fprintln(cmd.ErrOrStderr(), "(the demo: a tiny model that tells children's stories; name a checkpoint's directory to run another)")
	}
	s, err := r.begin(cmd, name)
	if err != nil {
		return err
	}
	defer s.close()
	switch {
	case talks:
		return s.talk(cmd.Context())
	case r.raw:
		return s.complete(cmd.Context(), prompt)
	}
	return s.once(cmd.Context(), prompt)
}

// check finds flags that do not go together.
func (r *running) check() error {
	switch {
	case r.think && r.noThink:
		return misuse("flags do not go together", "--think and --no-think", "leave one out")
	case r.raw && (r.think || r.noThink || r.system != ""):
		return misuse("flags do not go together", "--raw and --think, --no-think or --system", "leave one out: raw text has no chat form")
	case r.connect == "" && r.keyFile != "":
		return misuse("flags do not go together", "--api-key-file", "give it with --connect, or leave it out")
	case r.context < 2:
		return misuse("bad value of a flag", fmt.Sprintf("--context %d", r.context), "give 2 or more")
	}
	return nil
}

// modelAndPrompt reads the arguments: one alone is a model if it is the demo's name or a directory.
func modelAndPrompt(args []string) (model, prompt string, given bool) {
	switch len(args) {
	case 0:
		return demoName, "", false
	case 1:
		if info, err := os.Stat(args[0]); args[0] == demoName || err == nil && info.IsDir() {
			return args[0], "", false
		}
		return demoName, args[0], true
	}
	return args[0], args[1], true
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// open makes a model ready to answer.
func (r *running) open(cmd *cobra.Command, name string) (*session, error) {
	m, err := findModel(name)
	if err != nil {
		return nil, err
	}
	t, err := m.tokenizer()
	if err != nil {
		return nil, err
	}
	c, loaded, err := r.load(m)
	if err != nil {
		return nil, err
	}
	limits, err := r.sampling.limits(m, loaded.Config)
	if err != nil {
		c.Close()
		return nil, err
	}
	context := min(r.context, loaded.Config.MaxContext)
	caps := op.Caps{Rows: min(runRows, context), Slots: 1, Pages: (context-1)/op.PageSize + 1, Context: context}
	machine, err := r.place(cmd, loaded, caps, false)
	if err != nil {
		c.Close()
		return nil, err
	}
	s := &session{
		checkpoint: c, machine: machine, engine: engine.Start(machine, t, engine.Options{}), tokenizer: t, bos: loaded.Config.BOS, limits: limits, context: context,
		out: cmd.OutOrStdout(), aside: cmd.ErrOrStderr(), dim: isTerminal(cmd.ErrOrStderr()), stats: r.stats,
		encoding: encodingOf(loaded.Config),
	}
	s.reset(r.system)
	s.think(r.think || name != demoName && !r.noThink)
	return s, nil
}
