//go:build !amd64

package kernel

// compiled tells whether this build has kernels beyond Generic.
const compiled = false

func (*Set) machine(Tier) {}
