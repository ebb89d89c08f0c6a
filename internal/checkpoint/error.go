package checkpoint

import (
	"fmt"
	"strconv"
)

// Error is one fault of a checkpoint, told in one line: what, where, and how to mend it.
type Error struct {
	Kind   string // the reference implementation's name of the fault (formats spec 1.9), or one of ours
	File   string
	Tensor string // empty where the fault is the file's
	Found  string
	Want   string
	Err    error // what the system said, or nil
}

func (e *Error) Error() string {
	fault := faults[e.Kind]
	where := e.File
	if e.Tensor != "" {
		where += ": tensor " + quote(e.Tensor)
	}
	return fmt.Sprintf("%s: %s: found %s, expected %s: %s", fault.what, where, e.Found, e.Want, fault.mend)
}

func (e *Error) Unwrap() error { return e.Err }

// quote keeps a name from a file on one line and of a bearable length.
func quote(name string) string {
	const limit = 200
	if len(name) > limit {
		return strconv.Quote(name[:limit]) + "..."
	}
	return strconv.Quote(name)
}

// The kinds. Those of a header have the names of the reference implementation.
const (
	headerTooSmall   = "HeaderTooSmall"
	headerTooLarge   = "HeaderTooLarge"
	headerLength     = "InvalidHeaderLength"
	headerStart      = "InvalidHeaderStart"
	headerUTF8       = "InvalidHeader"
	headerSyntax     = "InvalidHeaderDeserialization"
	tensorInfo       = "TensorInvalidInfo"
	sizeOverflow     = "ValidationOverflow"
	invalidOffset    = "InvalidOffset"
	incompleteBuffer = "MetadataIncompleteBuffer"

	tooManyTensors = "TooManyTensors"
	invalidIndex   = "InvalidIndex"
	shardName      = "InvalidShardName"
	tensorMissing  = "TensorMissing"
	tensorUnlisted = "TensorUnlisted"
	tensorTwice    = "TensorTwice"
	noWeights      = "NoWeights"
	fileMissing    = "FileMissing"
	fileTooLarge   = "FileTooLarge"
	readFailed     = "ReadFailed"
)

const (
	fetchAgain = "the file is damaged; fetch it again"
	notOurs    = "the file is damaged or no safetensors file; fetch it again"
	setDiffers = "index and shards are not of one release; fetch the whole set again"
)

// faults says what a kind means and how it is mended.
var faults = map[string]struct{ what, mend string }{
	headerTooSmall:   {"file too short", notOurs},
	headerTooLarge:   {"header too large", notOurs},
	headerLength:     {"header longer than its file", "the file is cut short or no safetensors file; fetch it again"},
	headerStart:      {"header does not start as JSON", notOurs},
	headerUTF8:       {"header not UTF-8", fetchAgain},
	headerSyntax:     {"bad header", fetchAgain},
	tensorInfo:       {"bad tensor", fetchAgain},
	sizeOverflow:     {"tensor too large", fetchAgain},
	invalidOffset:    {"bad offsets", fetchAgain},
	incompleteBuffer: {"data incomplete", "the file is cut short or has bytes added; fetch it again"},

	tooManyTensors: {"too many tensors", fetchAgain},
	invalidIndex:   {"bad index", fetchAgain},
	shardName:      {"bad shard name", "shards lie beside their index; correct weight_map"},
	tensorMissing:  {"tensor missing", setDiffers},
	tensorUnlisted: {"tensor not in the index", setDiffers},
	tensorTwice:    {"tensor stored twice", setDiffers},
	noWeights:      {"no weights", "name the directory that holds model.safetensors or model.safetensors.index.json"},
	fileMissing:    {"file missing", "fetch it from where the checkpoint came"},
	fileTooLarge:   {"file too large", fetchAgain},
	readFailed:     {"cannot read", "check path, permissions and disk"},
}
