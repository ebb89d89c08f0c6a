package engine

import (
	"fmt"
	"log/slog"
	"sync"

	"baleen/internal/kv"
)

// Disk keeps pages and checkpoints in files, so that prefixes outlive the process and the memory. A goroutine of its own reads
// and writes; the engine's loop never waits for it.
type Disk struct {
	store  *kv.Store
	limits kv.Limits
	found  []kv.Entry
	log    *slog.Logger

	mu            sync.Mutex
	reads, writes []fileRequest // in order; what somebody waits for goes first
	unread        int           // files that were read and that the loop has not taken
	closed        bool
	news          *sync.Cond
	done          chan struct{}
}

// fileRequest is one thing to do: read a file, write it, or delete those of a prefix.
type fileRequest struct {
	file    kv.File
	entry   kv.Entry
	data    []byte
	deletes bool
}

// mostUnread is how many files may have been read before the loop takes one.
const mostUnread = 32

// OpenDisk opens a directory of at most size bytes for what sequences of this machine remember. The identity names the
// checkpoint's digest, the device with its tier, and the revision of its kernels: files of any other are deleted. What is refused
// is told to log.
func (m *Machine) OpenDisk(dir string, size int64, identity string, log *slog.Logger) (*Disk, error) {
	limits := kv.Limits{Page: int64(m.PageBytes()), Checkpoint: int64(m.CheckpointBytes())}
	if least := 2 * (limits.Page + limits.Checkpoint + 2*kv.FileOverhead); size < least {
		return nil, fmt.Errorf("too small a cache on disk: %s: %d bytes: give at least %d", dir, size, least)
	}
	smallest := float64(min(limits.Page, limits.Checkpoint))
	limits.Disk = int64(float64(size) * smallest / (smallest + kv.FileOverhead)) // bytes of content
	d := &Disk{limits: limits, log: log, done: make(chan struct{})}
	d.news = sync.NewCond(&d.mu)
	key := fmt.Sprintf("%s\n%v\n%v\n%s", identity, m.Model.Numerics, m.Model.Quirks, m.layout())
	var err error
	d.store, d.found, err = kv.OpenStore(dir, key, limits, func(file string, why error) {
		log.Warn("cache file refused and deleted", "file", file, "why", why)
	})
	return d, err
}

// serve does what is asked until it is closed, and tells through post.
func (d *Disk) serve(post func(event)) {
	defer close(d.done)
	for {
		r, reads, ok := d.next()
		if !ok {
			return
		}
		switch {
		case r.deletes:
			d.store.Delete(r.entry.ID)
		case reads:
			data, err := d.store.Read(r.entry)
			post(event{fetched: &fetched{r.file, data, err}})
		default:
			err := d.store.Write(r.entry, r.data)
			if err != nil {
				d.log.Error("cache file not written", "why", err)
			}
			post(event{written: &written{r.file, err}})
		}
	}
}

// next waits for something to do. After the close it ends when all is written.
func (d *Disk) next() (r fileRequest, reads, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		switch {
		case len(d.reads) > 0 && d.unread < mostUnread && !d.closed:
			r, d.reads = d.reads[0], d.reads[1:]
			d.unread++
			return r, true, true
		case len(d.writes) > 0:
			r, d.writes = d.writes[0], d.writes[1:]
			return r, false, true
		case d.closed:
			return fileRequest{}, false, false
		}
		d.news.Wait()
	}
}

// ask asks for something.
func (d *Disk) ask(r fileRequest, reads bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if reads {
		d.reads = append(d.reads, r)
	} else {
		d.writes = append(d.writes, r)
	}
	d.news.Signal()
}

// took says that the loop has taken a file that was read.
func (d *Disk) took() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unread--
	d.news.Signal()
}

// close writes what is left and gives the directory back.
func (d *Disk) close() error {
	d.mu.Lock()
	d.closed = true
	d.news.Signal()
	d.mu.Unlock()
	<-d.done
	return d.store.Close()
}

// move does what the scheduler wants moved. It only copies: what concerns files is done later, elsewhere.
func (e *Engine) move(m *move) error {
	switch m.kind {
	case saveCheckpoint:
		m.blob.Data = make([]byte, e.machine.CheckpointBytes())
		return e.machine.SaveCheckpoint(m.slot, m.position, m.blob.Data)
	case loadCheckpoint:
		return e.machine.LoadCheckpoint(m.slot, m.position, m.blob.Data)
	case loadPage:
		return e.machine.LoadPage(m.page, m.data)
	case readFile:
		e.disk.ask(fileRequest{file: m.file, entry: m.file.Entry()}, true)
	case writeFile:
		r := fileRequest{file: m.file, entry: m.file.Entry()}
		if m.file.Checkpoint {
			r.data = m.blob.Data
		} else {
			r.data = make([]byte, e.machine.PageBytes())
			if err := e.machine.SavePage(m.page, r.data); err != nil {
				e.post(event{written: &written{m.file, err}})
				return err
			}
		}
		e.disk.ask(r, false)
	case deleteFiles:
		e.disk.ask(fileRequest{entry: kv.Entry{ID: m.id}, deletes: true}, false)
	}
	return nil
}
