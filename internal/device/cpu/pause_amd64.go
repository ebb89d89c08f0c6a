package cpu

// pause tells the processor that its thread waits for another: some 40 nanoseconds.
func pause()
