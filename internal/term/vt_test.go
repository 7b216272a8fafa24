package term

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/creack/pty"
	"github.com/mattn/go-runewidth"
)

// vt is as much of a terminal as Live uses: what is above the window is
// scrollback, which no sequence reaches any more.
type vt struct {
	width, height int
	lines         []string
	row           int
	wrapped       int
}

// write plays what a program has written.
func (v *vt) write(t *testing.T, s string) {
	t.Helper()
	at := func() *string {
		for len(v.lines) <= v.row {
			v.lines = append(v.lines, "")
		}
		return &v.lines[v.row]
	}
	clear := false // the cursor is in column 0 of a line that still has text
	for len(s) > 0 {
		switch {
		case s[0] == '\n':
			v.row++
			clear = false
			s = s[1:]
		case s[0] == '\r':
			clear = true
			s = s[1:]
		case strings.HasPrefix(s, "\x1b["):
			end := strings.IndexFunc(s[2:], func(r rune) bool { return r >= '@' && r <= '~' }) + 2
			argument, final := s[2:end], s[end]
			s = s[end+1:]
			switch final {
			case 'A':
				n, _ := strconv.Atoi(argument)
				v.row = max(v.row-n, max(0, len(v.lines)-v.height))
			case 'K':
				if !clear {
					t.Errorf("a line is cleared from its middle")
				}
				*at() = ""
			case 'm':
			default:
				t.Errorf("unknown sequence %q", argument+string(final))
			}
		default:
			r, n := utf8.DecodeRuneInString(s)
			s = s[n:]
			if r < ' ' {
				t.Errorf("control character %q reaches the terminal", r)
			}
			line := at()
			if runewidth.StringWidth(*line)+runewidth.RuneWidth(r) > v.width {
				v.wrapped++
				v.row++
				line = at()
			}
			*line += string(r)
		}
	}
	at()
}

// screen is what is in the window.
func (v *vt) screen() []string { return v.lines[max(0, len(v.lines)-v.height):] }

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// terminal gives the two ends of a real pty of a size.
func terminal(t *testing.T, width, height int) (ours, theirs *os.File) {
	t.Helper()
	ours, theirs, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	if err := pty.Setsize(theirs, &pty.Winsize{Rows: uint16(height), Cols: uint16(width)}); err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

func (v *vt) String() string {
	return fmt.Sprintf("%dx%d:\n%s", v.width, v.height, strings.Join(v.lines, "\n"))
}
