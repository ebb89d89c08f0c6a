// Loops that use one part of a core alone: the limits that kernels are measured against.
#pragma once
#include "kernel.h"

typedef struct {
	const void *data;
	Int count;  // bytes, a multiple of 256; or rounds
	Int result; // keeps the work from being left out
} loop;

// Twelve independent chains of an instruction hide its latency; KEEP is an operand that gcc cannot see through.
#define CHAINS 12
#define KEEP(v) __asm__ volatile("" : "+v"(v))
