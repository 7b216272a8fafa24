package term

import (
	"io"
	"os"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"
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

// Table prints a table on Out. A terminal that is too narrow for it has the
// columns that do not fit on lines of their own below the others.
func (s *Streams) Table(t *Table) error {
	return t.write(s.Out, s.outWidth())
}

// outWidth is the width of the terminal behind Out in cells; 0 where there is
// none, and lines may be as long as they are.
func (s *Streams) outWidth() int {
	if !s.OutTTY {
		return 0
	}
	if file, ok := s.Out.(*os.File); ok {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
			return width
		}
	}
	width, _ := s.size()
	return width
}

const (
	gap    = 2 // between columns
	indent = 2 // of lines that go on with the one before
	// narrowest is what the last column has at least when its text is broken.
	narrowest = 20
)

// write prints the table with aligned columns; what comes last on a line is never
// padded. Cells are cleaned of control characters first: they may hold foreign
// text.
func (t *Table) write(w io.Writer, width int) error {
	rows := append([][]string{t.Header}, t.Rows...)
	widths := make([]int, len(t.Header))
	for i, row := range rows {
		rows[i] = make([]string, len(t.Header))
		for j, cell := range row {
			rows[i][j] = Clean(cell)
			widths[j] = max(widths[j], runewidth.StringWidth(rows[i][j]))
		}
	}
	lines := layout(rows, widths, width)
	var b strings.Builder
	for i, row := range rows {
		for n, columns := range lines {
			if n > 0 && !slices.ContainsFunc(columns, func(j int) bool { return row[j] != "" }) {
				continue
			}
			at := min(n, 1) * indent
			line := strings.Repeat(" ", at)
			for _, j := range columns {
				text, last := row[j], j == columns[len(columns)-1]
				if last && width > 0 {
					text = wrapLine(text, at, at, width)
				}
				if t.Paint != nil && i > 0 {
					text = repaint(t.Paint(j, row[j]), row[j], text)
				}
				line += text
				if !last {
					line += strings.Repeat(" ", widths[j]-runewidth.StringWidth(row[j])+gap)
					at += widths[j] + gap
				}
			}
			b.WriteString(line + "\n")
		}
	}
	_, err := io.WriteString(w, trimLines(b.String()))
	return err
}

// layout gives the columns that stand on each line of a row. Where there is too
// little room, columns with nothing in them are left out.
func layout(rows [][]string, widths []int, width int) [][]int {
	lines := [][]int{nil}
	used := -gap
	for j, wide := range widths {
		empty := !slices.ContainsFunc(rows[1:], func(row []string) bool { return row[j] != "" })
		if empty && width > 0 && len(rows) > 1 && used+gap+wide >= width {
			continue
		}
		room := width - 1 - used - gap // one cell stays free: a full line would wrap on some terminals
		fits := width == 0 || j == 0 || wide <= room
		if !fits && j == len(widths)-1 {
			fits = room >= narrowest && longestWord(rows, j) <= room
		}
		if !fits {
			lines = append(lines, nil)
			used = indent - gap
		}
		lines[len(lines)-1] = append(lines[len(lines)-1], j)
		used += gap + wide
	}
	return lines
}

func longestWord(rows [][]string, column int) (longest int) {
	for _, row := range rows {
		for word := range strings.FieldsSeq(row[column]) {
			longest = max(longest, runewidth.StringWidth(word))
		}
	}
	return longest
}

// repaint gives the text of a cell that was broken into lines the colour that the
// cell has as a whole.
func repaint(painted, cell, text string) string {
	before, after, found := strings.Cut(painted, cell)
	if !found || text == "" {
		return text
	}
	return before + strings.ReplaceAll(text, "\n", after+"\n"+before) + after
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
