// Package term is how fleet speaks to people: tables, one live line per
// machine, prompts, colour. Standard output carries data, standard error talk;
// what a command prints is the same on a pipe as on a terminal but for colour,
// movement and where lines break.
package term

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// Streams are a command's ways in and out, with what is known about them.
type Streams struct {
	In  io.Reader
	Out io.Writer // data
	Err io.Writer // talk
	// Tty is the terminal behind In and Err; nil where one of them is none.
	// Only there are prompts asked and live lines drawn.
	Tty *os.File
	// Color is whether Err understands colour and the user did not say NO_COLOR.
	Color bool
	// OutTTY is whether Out is a terminal: a secret is not printed there unasked.
	OutTTY bool
	// InTTY is whether In is a terminal: without a prompt it shows what is typed.
	InTTY bool
	// Quiet drops the talk that is not a warning or an error.
	Quiet bool

	// keys reads Tty: what was typed ahead of a question is not lost.
	keys *bufio.Reader

	mu   sync.Mutex
	live *Live // what is printed appears above its lines
}

// System returns the streams of this process. getenv reads NO_COLOR, TERM and CI.
func System(getenv func(string) string) *Streams {
	s := &Streams{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		InTTY: term.IsTerminal(int(os.Stdin.Fd())), OutTTY: term.IsTerminal(int(os.Stdout.Fd())),
	}
	errTTY := term.IsTerminal(int(os.Stderr.Fd())) && getenv("TERM") != "dumb"
	s.Color = errTTY && getenv("NO_COLOR") == ""
	if errTTY && s.InTTY && getenv("CI") == "" {
		s.Tty = os.Stdin
	}
	return s
}

// CanPrompt is whether somebody is there to answer.
func (s *Streams) CanPrompt() bool { return s.Tty != nil }

// size is the terminal's width and height in cells, 80×24 where it has none.
func (s *Streams) size() (width, height int) {
	if s.Tty != nil {
		if w, h, err := term.GetSize(int(s.Tty.Fd())); err == nil && w > 0 && h > 0 {
			return w, h
		}
	}
	return 80, 24
}

// Say prints one line of talk. It may hold foreign text, which is made safe.
func (s *Streams) Say(format string, args ...any) {
	if !s.Quiet {
		s.print(cleanLines(fmt.Sprintf(format+"\n", args...)))
	}
}

// Murmur is Say for what only somebody who asked for it wants to read.
func (s *Streams) Murmur(format string, args ...any) {
	if !s.Quiet {
		s.print(s.Paint(Faint, cleanLines(fmt.Sprintf(format, args...))) + "\n")
	}
}

// Interject prints one line at once, on a line of its own though somebody may have
// typed something before it, such as Ctrl-C.
func (s *Streams) Interject(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live != nil && s.Tty != nil {
		s.live.above(text + "\n")
		return
	}
	io.WriteString(s.Err, "\n"+text+"\n")
}

// Warn prints one line of talk that --quiet does not drop.
func (s *Streams) Warn(format string, args ...any) {
	s.print(s.Paint(Yellow, "warning:") + " " + cleanLines(fmt.Sprintf(format, args...)) + "\n")
}

// Problem prints an error. Its text may hold foreign text, which is made safe.
func (s *Streams) Problem(err error) {
	text := s.wrap("error: " + cleanLines(strings.TrimSpace(err.Error())))
	s.print(s.Paint(Red, "error:") + strings.TrimPrefix(text, "error:") + "\n")
}

// Print prints lines on Out or Err as they are, while a display may be up: its
// lines go away and come back below.
func (s *Streams) Print(to io.Writer, lines string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live != nil {
		s.live.hide()
		defer s.live.show()
	}
	_, err := io.WriteString(to, lines)
	return err
}

// Lend gives the terminal to another program, which may ask for something there:
// a display that is up goes away meanwhile. What the program prints is talk. There
// is no input where nobody is there to give it.
func (s *Streams) Lend(use func(in io.Reader, out io.Writer) error) error {
	s.mu.Lock()
	live := s.live
	s.mu.Unlock()
	if live != nil {
		live.hide()
		defer live.show()
	}
	if s.Tty == nil {
		return use(nil, s.Err)
	}
	return use(s.Tty, s.Err)
}

// print prints lines of talk, above the live ones if there are any.
func (s *Streams) print(lines string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live != nil {
		s.live.above(lines)
		return
	}
	io.WriteString(s.Err, lines)
}

// cleanLines is Clean that keeps the lines of a text.
func cleanLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = Clean(line)
	}
	return strings.Join(lines, "\n")
}

// Color is an ANSI colour.
type Color string

// The few colours that fleet uses.
const (
	Red    Color = "31"
	Green  Color = "32"
	Yellow Color = "33"
	Blue   Color = "34"
	Faint  Color = "2"
	Bold   Color = "1"
)

// Paint returns text in a colour, where colour is wanted.
func (s *Streams) Paint(c Color, text string) string {
	if !s.Color || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// PaintOut is Paint for what goes to standard output.
func (s *Streams) PaintOut(c Color, text string) string {
	if !s.OutTTY {
		return text
	}
	return s.Paint(c, text)
}
