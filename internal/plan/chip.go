package plan

// Class is a kind of hardware: what its factors are fitted by.
type Class uint8

const (
	accelerator Class = iota // with memory of its own, in a data centre or a card
	unified                  // one memory for processor and graphics
	processor                // a socket
)

// Chip is one device: an accelerator, a socket, or a machine with unified memory. Its figures are peaks from data sheets (units
// per second; dense), or measured ones from a profile. 0 is not known, or, of a number format, that there are no units for it.
type Chip struct {
	Name, Vendor string
	Class        Class
	Memory       float64 // bytes
	Bandwidth    float64 // of memory, bytes/s

	FP4, FP8, INT8, BF16 float64 // operations/s; BF16 is the larger of bfloat16 and float16

	Intra, Inter float64 // links to others in the host and outside, bytes/s in one direction
	Watts        float64
	Price        float64 // USD
	Rental       float64 // USD an hour

	Measured bool // bandwidth and operations were measured on this machine, and baleen runs there
	// Shares of these that baleen reached in decoding and in reading prompts; 0 is as it does as a rule.
	ReachedMemory, ReachedCompute float64

	Disk    float64  // bytes/s, from a profile
	Source  string   // of the figures
	Notes   string   // what the source says about them
	Assumed []string // figures that are not known, and what was taken in their place

	domain int // chips that one fast link domain holds; 0 is not known: see Domain
}

// Pool is a number of equal chips.
type Pool struct {
	Chip  *Chip
	Count int
}

// Machine is what a model is planned on: accelerators or sockets, and what stands behind them.
type Machine struct {
	Pools []Pool
	Disk  float64 // bytes/s of all disks together; 0 is none
}
