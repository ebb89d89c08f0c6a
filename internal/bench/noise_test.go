package bench

import (
	"bytes"
	"errors"
	"io"
	"math"
	"testing"

	"baleen/internal/quant"
)

var rows = []quant.Row{
	{Width: 512, Kind: quant.KindE4M3, Group: 64, Quantised: 448, Tail: quant.KindF32}, // reference
	{Width: 512, Kind: quant.KindE4M3, Group: 64, Quantised: 448, Tail: quant.KindBF16},
	{Width: 128, Kind: quant.KindE2M1, Group: 32, Quantised: 128, Tail: quant.KindF32},
	{Width: 1024, Tail: quant.KindF32}, // frontiers, and wide
}

// Rows are on the grid: what they hold can be packed again, and comes out the same.
func TestNoiseIsOnTheGrid(t *testing.T) {
	for _, row := range rows {
		n := newNoise(state{name: "x", row: row, bytes: 1000 * int64(row.Bytes())})
		packed, again := make([]byte, row.Bytes()), make([]byte, row.Bytes())
		x, back := make([]float32, row.Width), make([]float32, row.Width)
		for i := range int64(1000) {
			if _, err := n.ReadAt(packed, i*int64(row.Bytes())); err != nil {
				t.Fatal(err)
			}
			row.Decode(x, packed)
			if err := row.Encode(again, x); err != nil {
				t.Fatalf("%v, row %d: %v", row, i, err)
			}
			row.Decode(back, again)
			for j, v := range x {
				if back[j] != v || math.Abs(float64(v)) > 2 {
					t.Fatalf("%v, row %d, channel %d: %v, packed again %v", row, i, j, v, back[j])
				}
			}
		}
	}
}

// Rows differ, from each other and from buffer to buffer, and are the same wherever reading begins.
func TestNoiseIsRandomAccess(t *testing.T) {
	for _, row := range rows {
		size := row.Bytes()
		n := newNoise(state{name: "x", row: row, bytes: 50 * int64(size)})
		all := make([]byte, 50*size)
		if done, err := n.ReadAt(all, 0); done != len(all) || err != nil {
			t.Fatalf("read %d: %v", done, err)
		}
		seen := map[string]bool{}
		for i := range 50 {
			seen[string(all[i*size:][:size])] = true
		}
		if len(seen) != 50 {
			t.Errorf("%v: %d different rows of 50", row, len(seen))
		}
		for _, c := range [][2]int{{1, 1}, {size - 1, 2}, {size, size}, {3*size + 5, 2 * size}, {50*size - 1, 1}} {
			part := make([]byte, c[1])
			if _, err := n.ReadAt(part, int64(c[0])); err != nil || !bytes.Equal(part, all[c[0]:][:c[1]]) {
				t.Errorf("%v: %d bytes from %d differ (%v)", row, c[1], c[0], err)
			}
		}
		if done, err := n.ReadAt(make([]byte, size), int64(50*size-3)); done != 3 || !errors.Is(err, io.EOF) {
			t.Errorf("%v: at the end %d bytes, error %v", row, done, err)
		}
		other := make([]byte, size)
		newNoise(state{name: "y", row: row, bytes: int64(size)}).ReadAt(other, 0)
		if bytes.Equal(other, all[:size]) {
			t.Errorf("%v: two buffers hold the same", row)
		}
	}
}

func BenchmarkNoise(b *testing.B) {
	row := rows[0]
	n := newNoise(state{name: "x", row: row, bytes: math.MaxInt64})
	to := make([]byte, 1<<20)
	b.SetBytes(1 << 20)
	for b.Loop() {
		n.ReadAt(to, 0)
	}
}
