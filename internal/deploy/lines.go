package deploy

import (
	"bytes"
	"fmt"
	"iter"
	"strings"
)

// pairs goes through the lines NAME=VALUE that our scripts print. Others are left
// out: a login shell may print what it likes before.
func pairs(text string) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for line := range strings.Lines(text) {
			name, value, ok := strings.Cut(strings.TrimRight(line, "\n"), "=")
			if ok && !yield(name, value) {
				return
			}
		}
	}
}

// notRun is the error of a machine that printed something else than our script
// does.
func notRun(text string) error {
	return fmt.Errorf("its shell did not run the script: it printed %q", firstLine(text))
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// maxLine is how long a line may be; a longer one is handed on in pieces.
const maxLine = 64 << 10

// lineSplitter is a writer that calls line for each whole line.
type lineSplitter struct {
	line func(string)
	rest []byte
}

func (s *lineSplitter) Write(p []byte) (int, error) {
	s.rest = append(s.rest, p...)
	for {
		head, tail, found := bytes.Cut(s.rest, []byte("\n"))
		switch {
		case !found && len(s.rest) < maxLine:
			return len(p), nil
		case !found || len(head) > maxLine:
			head, tail = s.rest[:maxLine], s.rest[maxLine:]
		}
		s.line(strings.TrimRight(string(head), "\r"))
		s.rest = tail
	}
}

// flush hands on a last line that has no end.
func (s *lineSplitter) flush() {
	if len(s.rest) > 0 {
		s.line(string(s.rest))
		s.rest = nil
	}
}

// tail keeps the last lines of a log, for the message of a failure: a program
// often gives the reason some lines before it gives up.
type tail struct{ lines []string }

const tailLength = 5

func (t *tail) add(line string) {
	if strings.TrimSpace(line) == "" {
		return
	}
	t.lines = append(t.lines, line)
	if len(t.lines) > tailLength {
		t.lines = t.lines[1:]
	}
}

// String is the lines as one; empty if there was none.
func (t *tail) String() string { return strings.Join(t.lines, "; ") }
