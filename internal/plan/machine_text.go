package plan

import (
	"fmt"
	"strings"
)

// String is the text that Table.Machine reads.
func (m Machine) String() string {
	var items []string
	for _, p := range m.Pools {
		items = append(items, fmt.Sprintf("%d x %s", p.Count, p.Chip.Name))
	}
	if m.Disk > 0 {
		items = append(items, fmt.Sprintf("SSD %.3g GB/s", m.Disk/1e9))
	}
	return strings.Join(items, " + ")
}
