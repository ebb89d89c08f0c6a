package serve

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// Certificate is a TLS certificate in files, which is read again when it was renewed.
type Certificate struct {
	cert, key string // files

	mu     sync.Mutex
	loaded *tls.Certificate
	at     time.Time // of the files
	looked time.Time
}

// LoadCertificate reads a certificate, with those that it depends on, and its key, both as PEM.
func LoadCertificate(cert, key string) (*Certificate, error) {
	c := &Certificate{cert: cert, key: key}
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("cannot use the certificate: %s and %s: %w: give files of a certificate and its key, as PEM", cert, key, err)
	}
	return c, nil
}

func (c *Certificate) load() error {
	at, err := c.written()
	if err != nil {
		return err
	}
	loaded, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return err
	}
	c.loaded, c.at = &loaded, at
	return nil
}

// written is when the later of the files was written.
func (c *Certificate) written() (last time.Time, err error) {
	for _, name := range []string{c.cert, c.key} {
		info, err := os.Stat(name)
		if err != nil {
			return last, err
		}
		if info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last, nil
}

const certificateEvery = time.Minute // that the files are looked at

// get gives the certificate to a handshake. Files that do not belong together, as in the middle of a renewal, are left
// for the next time.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) > certificateEvery {
		c.looked = now
		if at, err := c.written(); err == nil && !at.Equal(c.at) {
			_ = c.load() // the old one is served until the new one can be
		}
	}
	return c.loaded, nil
}
