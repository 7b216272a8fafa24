package sandbox

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"github.com/crs58/fleet/internal/secrets"
)

// tail keeps the end of what is written to it.
type tail struct {
	limit int
	kept  []byte
	cut   bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*t.limit {
		t.trim()
	}
	return len(p), nil
}

func (t *tail) trim() {
	if excess := len(t.kept) - t.limit; excess > 0 {
		t.kept, t.cut = slices.Clone(t.kept[excess:]), true
	}
}

// text is what was kept with the secrets masked. A first line that was cut is
// left out: part of a secret would not be recognised.
func (t *tail) text(values [][]byte) string {
	t.trim()
	kept := t.kept
	if t.cut {
		i := bytes.IndexByte(kept, '\n')
		if i < 0 {
			return "[one line that is too long to show]"
		}
		kept = kept[i+1:]
	}
	kept = secrets.Mask(kept, values...)
	printable := bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r >= ' ' && r != 0x7f && r != utf8.RuneError {
			return r
		}
		return '?' // no terminal escapes in a message
	}, kept)
	if t.cut {
		return "[…]\n" + string(printable)
	}
	return string(printable)
}
