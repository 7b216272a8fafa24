package term

import (
	"io"
	"strings"

	"github.com/mattn/go-runewidth"
)

// Table is text in columns under a heading.
type Table struct {
	Header []string
	Rows   [][]string
	// Paint, where given, colours a cell after it was measured.
	Paint func(column int, cell string) string
}

// Add appends a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

// Write prints the table with aligned columns; the last column is never padded.
// Cells are cleaned of control characters first: they may hold foreign text.
func (t *Table) Write(w io.Writer) error {
	rows := append([][]string{t.Header}, t.Rows...)
	widths := make([]int, len(t.Header))
	for i, row := range rows {
		clean := make([]string, len(row))
		for j, cell := range row {
			clean[j] = Clean(cell)
			if j < len(widths) {
				widths[j] = max(widths[j], runewidth.StringWidth(clean[j]))
			}
		}
		rows[i] = clean
	}
	var b strings.Builder
	for i, row := range rows {
		for j, cell := range row {
			text := cell
			if t.Paint != nil && i > 0 {
				text = t.Paint(j, cell)
			}
			b.WriteString(text)
			if j < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[min(j, len(widths)-1)]-runewidth.StringWidth(cell)+2))
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, trimLines(b.String()))
	return err
}

func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n")
}

// Clean makes foreign text safe to print on a terminal: escape sequences and
// control characters are dropped, line breaks and tabs become spaces.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < 0x20 || (r >= 0x7f && r < 0xa0):
			return -1
		}
		return r
	}, s)
}
