package vars

import (
	"bytes"
	"cmp"
	"slices"
	"unicode/utf8"
)

// mask replaces in text every secret, and every longer line of a secret with
// several, by stars. It is a net below the sandbox, for error messages: a script
// that prints its secrets in another encoding gets past it.
func mask(text []byte, secrets [][]byte) []byte {
	const shortest, shortestLine = 2, 8
	var hidden [][]byte
	for _, secret := range secrets {
		whole := bytes.TrimSpace(secret)
		if len(whole) < shortest {
			continue
		}
		hidden = append(hidden, whole)
		for line := range bytes.Lines(whole) {
			if line = bytes.TrimSpace(line); len(line) >= shortestLine {
				hidden = append(hidden, line)
			}
		}
	}
	slices.SortFunc(hidden, func(a, b []byte) int { return cmp.Or(cmp.Compare(len(b), len(a)), bytes.Compare(a, b)) })
	for _, secret := range slices.CompactFunc(hidden, bytes.Equal) {
		text = bytes.ReplaceAll(text, secret, []byte("********"))
	}
	return text
}

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
func (t *tail) text(secrets [][]byte) string {
	t.trim()
	kept := t.kept
	if t.cut {
		i := bytes.IndexByte(kept, '\n')
		if i < 0 {
			return "[one line that is too long to show]"
		}
		kept = kept[i+1:]
	}
	kept = mask(kept, secrets)
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
