package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// interrupts are what Ctrl-C and kill send. The first one ends the command's context, the next one the program, unless a
// part of a command takes those of the keyboard for itself.
type interrupts struct {
	mu   sync.Mutex
	take func() // nil: nobody does
}

type interruptsKey struct{}

// watchInterrupts returns a context that the first interrupt ends.
func watchInterrupts() (ctx context.Context, stop func()) {
	i := &interrupts{}
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), interruptsKey{}, i))
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		for s := range signals {
			if s == os.Interrupt && i.taken() {
				continue
			}
			signal.Stop(signals)
			cancel()
			return
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel()
	}
}

func (i *interrupts) taken() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.take == nil {
		return false
	}
	i.take()
	return true
}

// withInterrupt returns a context that an interrupt of the keyboard ends, while the command goes on. It must be released.
func withInterrupt(ctx context.Context) (inner context.Context, release func()) {
	inner, cancel := context.WithCancel(ctx)
	i, ok := ctx.Value(interruptsKey{}).(*interrupts)
	if !ok {
		return inner, cancel
	}
	set := func(take func()) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.take = take
	}
	set(cancel)
	return inner, func() {
		set(nil)
		cancel()
	}
}
