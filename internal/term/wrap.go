package term

import (
	"strings"

	"github.com/mattn/go-runewidth"
)

// wrap breaks lines between words to fit the terminal; the rest of a broken line
// is indented. A word that is too long, a path say, stays whole: it is there to
// be copied. Where there is no terminal a line stays one.
func (s *Streams) wrap(text string) string {
	if s.Tty == nil {
		return text
	}
	width, _ := s.size()
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = wrapLine(line, 0, indent, width)
	}
	return strings.Join(lines, "\n")
}

// wrapLine breaks a line that begins at column start of a terminal; what goes on
// begins at column hang.
func wrapLine(line string, start, hang, width int) string {
	if start+runewidth.StringWidth(line) < width {
		return line
	}
	var b strings.Builder
	used := start
	for i, word := range strings.Split(line, " ") {
		w := runewidth.StringWidth(word)
		switch {
		case i == 0:
		// One column stays free: a full line would wrap on some terminals.
		case used+1+w < width:
			b.WriteByte(' ')
			used++
		default:
			b.WriteString("\n" + strings.Repeat(" ", hang))
			used = hang
		}
		b.WriteString(word)
		used += w
	}
	return b.String()
}
