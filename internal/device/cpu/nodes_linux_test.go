package cpu

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

// TestBind: the system knows where memory is to come from, and memory works whatever it says to that: no machine has the last of
// these nodes.
func TestBind(t *testing.T) {
	const size, border = 8 << 20, 5<<20 + 100
	on := newTopology([]node{{0, []int{0}}, {1000, []int{1}}}, 2)
	one := newTopology([]node{{0, upTo(2)}}, 2)
	for _, c := range []struct {
		what string
		do   func(b []byte)
		want string
	}{
		{"near", func(b []byte) { (&arena{b, []stretch{{0, border}, {border, size - border}}}).bind(&on) }, "prefer:0"},
		{"by turns", func(b []byte) { interleaveNodes(b, []int{0}) }, "interleave"},
		{"by turns with a node that is none", on.interleave, ""},
		{"one node", func(b []byte) { (&arena{b, []stretch{{0, size}}}).bind(&one); one.interleave(b) }, "default"},
	} {
		b, err := allocate(size)
		if err != nil {
			t.Fatal(err)
		}
		c.do(b)
		for i := range b {
			b[i] = 1
		}
		if policy := policyOf(t, b); !strings.HasPrefix(policy, c.want) {
			t.Errorf("%s: %s", c.what, policy)
		}
		if policy := policyOf(t, b[border:]); c.what == "near" && !strings.HasPrefix(policy, "default") {
			t.Errorf("%s, on a node that is none: %s", c.what, policy)
		}
		release(b)
	}
}

// policyOf returns what the system says about the page that b begins in.
func policyOf(t *testing.T, b []byte) (policy string) {
	maps, err := os.ReadFile("/proc/self/numa_maps")
	if err != nil {
		t.Skip("the system does not tell where memory comes from: ", err)
	}
	for line := range strings.Lines(string(maps)) { // ascending; each begins with the address of its first page
		first, rest, _ := strings.Cut(line, " ")
		if at, err := strconv.ParseUint(first, 16, 64); err == nil && uintptr(at) <= uintptr(unsafe.Pointer(&b[0])) {
			policy = rest
		}
	}
	return policy
}
