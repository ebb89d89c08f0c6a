package serve

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
)

// keyring holds the keys that open the server. They are compared as digests, all of them each time, so that how long
// it takes says nothing about a key.
type keyring []*key

type key struct {
	digest [sha256.Size]byte
	line   int // in the list, from 1: what logs call it by
	most   int32
	active atomic.Int32
}

func newKeyring(keys []string, most int) (ring keyring) {
	for i, k := range keys {
		ring = append(ring, &key{digest: sha256.Sum256([]byte(k)), line: i + 1, most: int32(most)})
	}
	return ring
}

// find returns the key that a request has. Without keys it is nil, and that is fine.
func (ring keyring) find(h http.Header) (*key, bool) {
	if len(ring) == 0 {
		return nil, true
	}
	digest := sha256.Sum256([]byte(presented(h)))
	found := -1
	for i, k := range ring {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(digest[:], k.digest[:]), i, found)
	}
	if found < 0 {
		return nil, false
	}
	return ring[found], true
}

// presented is the key in a request: Bearer wins (formats spec 5.2).
func presented(h http.Header) string {
	scheme, k, _ := strings.Cut(h.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "bearer") {
		return strings.TrimSpace(k)
	}
	return h.Get("X-Api-Key")
}

// take counts a request of a key, unless there are as many as may be.
func (k *key) take() bool {
	if k == nil || k.most <= 0 {
		return true
	}
	if k.active.Add(1) > k.most {
		k.active.Add(-1)
		return false
	}
	return true
}

func (k *key) leave() {
	if k != nil && k.most > 0 {
		k.active.Add(-1)
	}
}

// name is what logs call a key by.
func (k *key) name() string {
	if k == nil {
		return ""
	}
	return fmt.Sprint(k.line)
}

// budget is an amount that many share.
type budget struct {
	limit int64
	used  atomic.Int64
}

func (b *budget) take(n int64) bool {
	if b.used.Add(n) <= b.limit {
		return true
	}
	b.used.Add(-n)
	return false
}

func (b *budget) give(n int64) { b.used.Add(-n) }
