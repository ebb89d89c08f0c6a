package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageError is a wrong use of the command line, not a failure of its work.
type usageError struct{ error }

var errInterrupted = errors.New("interrupted: the work is not complete: run the command again")

// fault is an error as every command gives it: what is wrong, where, and how to mend it.
func fault(what, where, mend string) error { return fmt.Errorf("%s: %s: %s", what, where, mend) }

func misuse(what, where, mend string) error { return usageError{fault(what, where, mend)} }

// seeHelp points to the help of a command.
func seeHelp(cmd *cobra.Command) string { return fmt.Sprintf("see '%s --help'", cmd.CommandPath()) }

// report says what is wrong and returns the exit status.
func report(root *cobra.Command, err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	err = commandError(root, err)
	fmt.Fprintf(stderr, "%s: %s\n", root.Name(), oneLine(err.Error()))
	if errors.As(err, new(usageError)) {
		return 2
	}
	return 1
}

// oneLine keeps a message on one line, whatever names it repeats.
func oneLine(message string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, message)
}

// commandError turns what cobra says about an unknown command, which is text only, into a misuse.
func commandError(root *cobra.Command, err error) error {
	var name string
	if n, _ := fmt.Sscanf(err.Error(), "unknown command %q", &name); n != 1 {
		return err
	}
	mend := seeHelp(root)
	if near := root.SuggestionsFor(name); len(near) > 0 {
		mend = "did you mean " + strings.Join(near, " or ") + "? " + mend
	}
	return misuse("unknown command", name, mend)
}

// flagError turns what pflag says about a flag into a misuse.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		return misuse("unknown flag", dashes(unknown.GetSpecifiedName(), unknown.GetSpecifiedShortnames()), seeHelp(cmd))
	case errors.As(err, &missing):
		return misuse("flag without a value", dashes(missing.GetSpecifiedName(), missing.GetSpecifiedShortnames()), seeHelp(cmd))
	case errors.As(err, &invalid):
		where := fmt.Sprintf("--%s %q", invalid.GetFlag().Name, invalid.GetValue())
		if choices, ok := invalid.GetFlag().Value.(*choice); ok {
			return misuse("bad value of a flag", where, "give "+choices.list())
		}
		return misuse("bad value of a flag", where, fmt.Sprintf("give %s; %s", aValue(invalid.GetFlag().Value.Type()), seeHelp(cmd)))
	}
	return misuse("bad flag", err.Error(), seeHelp(cmd))
}

// dashes spells a flag as it was given: long, or one of some short ones.
func dashes(name, shorts string) string {
	if shorts != "" && len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// aValue says in words what a flag of pflag's type takes.
func aValue(kind string) string {
	switch kind {
	case "int", "int32", "int64":
		return "a whole number"
	case "uint", "uint32", "uint64":
		return "a whole number from 0 on"
	case "float32", "float64":
		return "a number"
	case "bool":
		return "true or false"
	}
	return "a " + kind
}

// arguments checks how many arguments a command is given; most is -1 where there is no bound.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && (most < 0 || len(args) <= most) {
			return nil
		}
		return misuse("wrong number of arguments", fmt.Sprintf("%d given", len(args)), fmt.Sprintf("write '%s'; %s", cmd.UseLine(), seeHelp(cmd)))
	}
}

// guard turns a panic into an error: a user is not shown a stack.
func guard(work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault("internal fault", fmt.Sprintf("%v at %s", p, panicPlace()), "this is a fault of baleen; report this line with the command")
		}
	}()
	return work()
}

// panicPlace finds the line that panicked: it called the first of the runtime's functions that led here.
func panicPlace() string {
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(0, callers)])
	panicking := false
	for {
		frame, more := frames.Next()
		inRuntime := strings.HasPrefix(frame.Function, "runtime.")
		if panicking && !inRuntime {
			return fmt.Sprintf("%s:%d", filepath.Base(frame.File), frame.Line)
		}
		panicking = panicking || frame.Function == "runtime.gopanic"
		if !more {
			return "an unknown place"
		}
	}
}
