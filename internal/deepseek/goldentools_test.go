package deepseek_test

import (
	"fmt"
	"slices"
)

func asInts(x []float32) []int32 {
	ints := make([]int32, len(x))
	for i, v := range x {
		ints[i] = int32(v)
	}
	return ints
}

// sortedSet spells a set of ids.
func sortedSet(ids []int32) string { return fmt.Sprint(slices.Sorted(slices.Values(ids))) }
