// Package deepseek is the DeepSeek-V4 model. It knows shapes, names and mathematics, and no device: it records what a step
// computes as an op.Program. Symbols and sections are those of the paper and of the model spec.
//
//	paper (arXiv 2606.19348)            spec   file           ops
//	overall structure                   4      forward.go     embed
//	manifold-constrained                5      hyper.go       linear hcsplit hccollapse hcexpand
//	  hyper-connections
//	attention shared by all layers      6      attention.go   linear rmsnorm rope quantise store attend
//	rotary embedding, YaRN              3.6    rope.go        rope
//	compressed attention (CSA, HCA)     7      compress.go    linear store pool rmsnorm rope quantise
//	lightning indexer                   8      indexer.go     linear rope hadamard quantise select
//	mixture of experts                  9      moe.go         linear sqrtsoftplus topk lookup routeweights experts
//	output head                         4, 5   head.go        gather hcsplit hccollapse rmsnorm linear
//	multi-token prediction              10     mtp.go         embed rmsnorm linear add
//	(DSpark, the block drafter)         11     dspark.go      mean join embed linear store attend gather add
//
// A layer reads in the order of the paper's figure: streams to one, attention, one to streams; streams to one, mixture
// of experts, one to streams. config.go is the shape, names.go and bind*.go find its weights in a checkpoint, state.go says
// what a sequence remembers, trace.go what the goldens hold. testdata/programs is what it all records.
//
// v41*.go records V4.1-Flash (19) for its cost alone: part.go and the planner know it, nothing runs it.
package deepseek
