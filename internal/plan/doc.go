// Package plan says what a token of a model costs on given hardware: whether it fits, how long it takes, how many there are
// in a second, where the time goes, and what it costs, each with an interval.
//
//	chip.go, hardware.go     what a chip can do; which chips there are
//	machine.go               hardware as a user writes it
//	shape.go, costonly.go    a model, as far as its cost goes: from its recorded programs
//	mla.go                   those of V3 and V3.2, which nothing runs
//	held.go, memory.go       how chips hold weights; what must fit
//	time.go, factors.go      how long a step takes: a roof per group of ops, and few factors by class
//	layout.go, search.go     how a model is cut over chips and what that gives; the search
//	simulate.go              arrivals, batching and cache hits, with the engine's scheduler
//	plan.go, make.go         a request and its plan; the making of it
//	text.go, html.go         what people read; compare.go sets plans side by side
//	anchor.go, trial.go      published measurements, and what they are made into
//	backtest.go, fit.go      predicted against measured; where the factors come from
package plan
