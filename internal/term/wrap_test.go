package term

import (
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"
)

func TestWrapLine(t *testing.T) {
	for _, tt := range []struct {
		width      int
		line, want string
	}{
		{20, "short", "short"},
		{20, "", ""},
		{20, "error: a: it broke because of that", "error: a: it broke\n  because of that"},
		{12, "log: /a/long/path/in/one end", "log:\n  /a/long/path/in/one\n  end"},
		{10, "日本語 日本語 日本語", "日本語\n  日本語\n  日本語"},
		{20, "two  spaces are kept here", "two  spaces are\n  kept here"},
		{3, "a b c d", "a\n  b\n  c\n  d"},
	} {
		if got := wrapLine(tt.line, 0, 2, tt.width); got != tt.want {
			t.Errorf("%q in %d columns is %q, want %q", tt.line, tt.width, got, tt.want)
		}
	}
}

func FuzzWrapLine(f *testing.F) {
	f.Add("some words and /a/path", 9)
	f.Fuzz(func(t *testing.T, line string, width int) {
		if strings.Contains(line, "\n") {
			return
		}
		got := wrapLine(line, 0, 2, width)
		if strings.ReplaceAll(got, "\n  ", " ") != line {
			t.Errorf("%q became %q", line, got)
		}
		for i, part := range strings.Split(got, "\n") {
			if i > 0 {
				part = strings.TrimPrefix(part, "  ")
			}
			if strings.Contains(part, " ") && runewidth.StringWidth(part) >= width {
				t.Errorf("%q is wider than %d", part, width)
			}
		}
	})
}
