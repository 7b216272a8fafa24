package term

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"
)

// ErrCancelled says that the person at the terminal pressed Ctrl-C.
var ErrCancelled = errors.New("cancelled at the prompt")

// Question is what Ask asks. Hidden answers are not echoed and are asked for
// twice, unless they are empty or Once says that a wrong one would be noticed;
// Multiline answers end with Ctrl-D.
type Question struct {
	Label     string
	Help      string
	Hidden    bool
	Once      bool
	Multiline bool
}

// attempts is how often a hidden answer may be mistyped.
const attempts = 3

// Ask asks on the terminal. The terminal is put in raw mode, because a line in
// the normal mode is silently cut at 4095 bytes (1023 on macOS): too short for
// a pasted key.
func (s *Streams) Ask(ctx context.Context, q Question) (string, error) {
	if s.Tty == nil {
		return "", errors.New("there is no terminal to ask on")
	}
	s.mu.Lock()
	live := s.live
	s.mu.Unlock()
	if live != nil {
		live.hide()
		defer live.show()
	}
	if q.Help != "" {
		for line := range strings.SplitSeq(q.Help, "\n") {
			fmt.Fprintln(s.Err, s.Paint(Faint, Clean(line)))
		}
	}
	for range attempts {
		answer, err := s.readRaw(ctx, q.Label, q)
		if err != nil || !q.Hidden || q.Once || answer == "" {
			return answer, err
		}
		again, err := s.readRaw(ctx, "once more", q)
		if err != nil {
			return "", err
		}
		if answer == again {
			return answer, nil
		}
		s.Warn("the two answers differ")
	}
	return "", fmt.Errorf("%s: the two answers differed %d times", Clean(q.Label), attempts)
}

// Confirm asks a question to be answered with yes or no; anything but y or yes
// is no.
func (s *Streams) Confirm(ctx context.Context, question string) (bool, error) {
	answer, err := s.Ask(ctx, Question{Label: question + " [y/N]"})
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes", err
}

func (s *Streams) readRaw(ctx context.Context, label string, q Question) (string, error) {
	var hint string
	switch {
	case q.Hidden && q.Multiline:
		hint = " (not shown, end with Ctrl-D)"
	case q.Multiline:
		hint = " (end with Ctrl-D)"
	case q.Hidden:
		hint = " (not shown)"
	}
	fmt.Fprintf(s.Err, "%s%s: ", Clean(label), hint)
	if q.Multiline {
		fmt.Fprint(s.Err, "\r\n")
	}
	old, err := term.MakeRaw(int(s.Tty.Fd()))
	if err != nil {
		return "", fmt.Errorf("cannot read from the terminal: %w", err)
	}
	fmt.Fprint(s.Err, "\x1b[?2004h") // bracketed paste: a pasted line break does not end the answer
	type result struct {
		text string
		err  error
	}
	got := make(chan result, 1)
	if s.keys == nil {
		s.keys = bufio.NewReader(s.Tty)
	}
	go func() {
		text, err := readAnswer(s.keys, s.Err, q)
		got <- result{text, err}
	}()
	defer func() {
		fmt.Fprint(s.Err, "\x1b[?2004l\r\n")
		term.Restore(int(s.Tty.Fd()), old)
	}()
	select {
	case r := <-got:
		return r.text, r.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

const (
	ctrlC     = 0x03
	ctrlD     = 0x04
	ctrlU     = 0x15
	escape    = 0x1b
	backspace = 0x08
	del       = 0x7f
)

// readAnswer reads one answer from a terminal in raw mode and echoes it unless
// it is hidden.
func readAnswer(in io.Reader, echo io.Writer, q Question) (string, error) {
	r := bufio.NewReader(in)
	var answer []byte
	pasting := false
	show := func(s string) {
		if !q.Hidden {
			io.WriteString(echo, s)
		}
	}
	for {
		c, err := r.ReadByte()
		if err != nil {
			return "", fmt.Errorf("the terminal went away: %w", err)
		}
		switch {
		case c == ctrlC:
			return "", ErrCancelled
		case c == ctrlD:
			if q.Multiline || len(answer) == 0 {
				return string(answer), nil
			}
		case c == '\r' || c == '\n':
			if !q.Multiline && !pasting {
				// What is pasted often ends with a line break that nobody meant.
				return strings.TrimRight(string(answer), "\n"), nil
			}
			answer = append(answer, '\n')
			show("\r\n")
		case c == ctrlU:
			line := answer[bytes.LastIndexByte(answer, '\n')+1:]
			show(strings.Repeat("\b \b", runewidth.StringWidth(string(line))))
			answer = answer[:len(answer)-len(line)]
		case c == backspace || c == del:
			if len(answer) > 0 {
				last, n := utf8.DecodeLastRune(answer)
				answer = answer[:len(answer)-n]
				show(strings.Repeat("\b \b", runewidth.RuneWidth(last)))
			}
		case c == escape:
			switch sequence(r, pasting) {
			case "[200~":
				pasting = true
			case "[201~":
				pasting = false
			}
		case c >= 0x20 || c == '\t':
			answer = append(answer, c)
			show(string([]byte{c}))
		}
	}
}

// sequence reads the rest of a terminal escape sequence. In a paste it waits for
// it, because a long paste comes in pieces; else the escape key was pressed.
func sequence(r *bufio.Reader, pasting bool) string {
	var b strings.Builder
	for (pasting || r.Buffered() > 0) && b.Len() < 16 {
		c, err := r.ReadByte()
		if err != nil {
			break
		}
		b.WriteByte(c)
		if b.Len() > 1 && (c == '~' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z') {
			break
		}
	}
	return b.String()
}
