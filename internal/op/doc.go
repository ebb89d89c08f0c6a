// Package op is the vocabulary in which a model tells a device what to do: the kinds of ops with their exact meaning, the
// Program that lists them over named buffers, the Builder that checks shapes while it records, what a program costs, its
// text form, and how a fused op falls apart into core ops.
//
// A Program is a straight list: no control flow, no passes, no autodiff. It has capacities, not counts. How many rows a run
// has, whose they are and where they stand comes with the Args, so a ragged prefill, a decode step and a verification are
// the same Program. One object is run by devices, costed by the planner, sampled by qualify and pinned by goldens, so
// that none of them can drift from the others.
//
// # Exact meaning
//
// The doc comment of an op is its definition. Activations are float32. What a comment writes as a sum is a sum of real
// numbers: device/ref takes it in float64 and rounds once, other devices stay within the op's Class. Everything
// that selects (TopK, Select) has one tie rule: the higher score wins, then the lower index; -0 equals +0; NaN fails the run.
package op
