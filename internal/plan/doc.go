// Package plan says what a token of a model costs on given hardware: whether it fits, how long it takes, how many there are
// in a second, where the time goes, and what it costs, each with an interval.
//
//	chip.go, machine.go      what a chip can do; which chips there are
//	shape.go, v3.go          a model, as far as its cost goes: from its recorded programs
//	memory.go                what must fit
//	time.go, factors.go      how long a step takes: a roof per group of ops, and few factors by class
//	layout.go                how a model is cut over chips; the search
//	simulate.go              arrivals, batching and cache hits, with the engine's scheduler
//	plan.go                  a request and its plan
//	backtest.go, fit.go      predicted against measured; where the factors come from
package plan
