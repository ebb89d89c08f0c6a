package checkpoint

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
)

const (
	maxConfig  = 16 << 20
	digestEdge = 64 << 10 // bytes of data at either end of a shard
)

// Digest names the checkpoint's content: 64 hexadecimal digits of SHA-256 over
//
//   - config.json, or its absence;
//   - of each shard, by file name: its size, its whole header (names, types, shapes and offsets of all tensors, metadata),
//     and the first and the last 64 KiB of its data.
//
// It is taken when the checkpoint is opened and costs milliseconds, so it can be part of every cache key. It tells
// releases, fine-tunes and layouts apart. It is no proof of integrity: a bit that flips in the middle of a shard goes
// unseen. File names and the tokenizer are not covered.
func (c *Checkpoint) Digest() string { return c.digest }

// sign reads config.json and computes the digest.
func (c *Checkpoint) sign() *Error {
	config, fault := c.readFile("config.json", maxConfig)
	switch {
	case fault == nil:
		c.config = config
	case errors.Is(fault, fs.ErrNotExist):
		c.noConfig = fault // a file of tensors alone is fine for who needs no config
	default:
		return fault
	}
	h := sha256.New()
	fmt.Fprintf(h, "baleen checkpoint 1\nconfig %t %d\n", fault == nil, len(config))
	h.Write(config)
	for _, s := range c.shards {
		h.Write(s.sum[:])
	}
	c.digest = hex.EncodeToString(h.Sum(nil))
	return nil
}

// digest sums a shard's size, header and edges. It returns buf, which may have grown; text may lie in it.
func (s *shard) digest(text, buf []byte) (sum [sha256.Size]byte, _ []byte, _ *Error) {
	h := sha256.New()
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(s.size)))
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(text))))
	h.Write(text)
	head := min(s.data+digestEdge, s.size)
	tail := max(head, s.size-digestEdge)
	for _, part := range [][2]int64{{s.data, head}, {tail, s.size}} {
		n := int(part[1] - part[0])
		if cap(buf) < n {
			buf = make([]byte, n)
		}
		if fault := readAt(s.file, buf[:n], part[0]); fault != nil {
			return sum, buf, fault
		}
		h.Write(buf[:n])
	}
	return [sha256.Size]byte(h.Sum(nil)), buf, nil
}
