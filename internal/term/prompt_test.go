package term

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestReadAnswer(t *testing.T) {
	multiline := Question{Multiline: true}
	for name, tt := range map[string]struct {
		q           Question
		keys        string
		want, shown string
		err         error
	}{
		"a line":                     {keys: "abc\rrest", want: "abc", shown: "abc"},
		"nothing":                    {keys: "\r"},
		"end of input":               {keys: "\x04"},
		"Ctrl-D after text":          {keys: "a\x04b\r", want: "ab", shown: "ab"},
		"Ctrl-C":                     {keys: "abc\x03", shown: "abc", err: ErrCancelled},
		"the terminal goes away":     {keys: "abc", shown: "abc", err: io.EOF},
		"backspace":                  {keys: "ab\x7f\x08\x08c\r", want: "c", shown: "ab\b \b\b \bc"},
		"backspace over a rune":      {keys: "aé\x7fb\r", want: "ab", shown: "aé\b \bb"},
		"backspace over a wide rune": {keys: "界\x7f\r", shown: "界\b \b\b \b"},
		"Ctrl-U":                     {keys: "ab\x15c\r", want: "c", shown: "ab\b \b\b \bc"},
		"Ctrl-U keeps other lines":   {q: multiline, keys: "ab\rcd\x15e\x04", want: "ab\ne", shown: "ab\r\ncd\b \b\b \be"},
		"arrows and function keys":   {keys: "a\x1b[A\x1b[15~\x1bOPb\r", want: "ab", shown: "ab"},
		"other control characters":   {keys: "a\x01\x02\x1ab\r", want: "ab", shown: "ab"},
		"a tab":                      {keys: "a\tb\r", want: "a\tb", shown: "a\tb"},
		"hidden":                     {q: Question{Hidden: true}, keys: "se\x7fcret\r", want: "scret"},
		"lines":                      {q: multiline, keys: "a\rb\r\x04", want: "a\nb\n", shown: "a\r\nb\r\n"},
		"a paste of lines":           {keys: "\x1b[200~one\rtwo\x1b[201~\r", want: "one\ntwo", shown: "one\r\ntwo"},
		"a paste with a line break":  {keys: "\x1b[200~password\n\x1b[201~\r", want: "password", shown: "password\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var shown bytes.Buffer
			got, err := readAnswer(strings.NewReader(tt.keys), &shown, tt.q)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %v; want %q, %v", got, err, tt.want, tt.err)
			}
			if shown.String() != tt.shown {
				t.Errorf("shown %q, want %q", shown.String(), tt.shown)
			}
		})
	}
}

// A paste comes in pieces that may end anywhere, also within the mark of its end.
func TestReadAnswerInPieces(t *testing.T) {
	keys := "x\x1b[200~one\ntwo\x1b[201~y\r"
	start := strings.Index(keys, "one")
	got, err := readAnswer(io.MultiReader(strings.NewReader(keys[:start]), iotest.OneByteReader(strings.NewReader(keys[start:]))), io.Discard, Question{})
	if want := "xone\ntwoy"; got != want || err != nil {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func FuzzReadAnswer(f *testing.F) {
	f.Add("abc\r", false, false)
	f.Add("\x1b[200~a\r\x1b[201~\x04", true, false)
	f.Add("\x7f\x15\x1b[\r", false, true)
	f.Fuzz(func(t *testing.T, keys string, multiline, hidden bool) {
		var shown bytes.Buffer
		got, err := readAnswer(strings.NewReader(keys), &shown, Question{Multiline: multiline, Hidden: hidden})
		if len(got) > len(keys) {
			t.Errorf("%q becomes %q", keys, got)
		}
		if err != nil && got != "" {
			t.Errorf("both %q and %v", got, err)
		}
		if hidden && shown.Len() > 0 {
			t.Errorf("a hidden answer is shown: %q", shown.String())
		}
		if strings.Contains(shown.String(), "\x1b") || strings.Contains(got, "\x1b") {
			t.Errorf("an escape comes through: %q, %q", got, shown.String())
		}
	})
}

// ask asks on a real terminal where somebody types once the prompt is there.
func ask(t *testing.T, q Question, typed ...string) (answer, screen string, err error) {
	t.Helper()
	ours, theirs := terminal(t, 80, 24)
	var seen buffer
	go io.Copy(&seen, ours)
	streams := &Streams{In: theirs, Err: theirs, Tty: theirs}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go func() {
		for i, text := range typed {
			for strings.Count(seen.String(), "\x1b[?2004h") <= i && ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
			io.WriteString(ours, text)
		}
	}()
	answer, err = streams.Ask(ctx, q)
	for !strings.HasSuffix(seen.String(), "\n") && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	return answer, seen.String(), err
}

// A terminal in its normal mode cuts a line at 4095 bytes.
func TestAskLongPaste(t *testing.T) {
	for _, length := range []int{6000, 4096 - len("\x1b[200~") - 2} { // the second ends within the mark
		want := strings.Repeat("0123456789abcde\n", length/16) + strings.Repeat("x", length%16)
		got, _, err := ask(t, Question{Label: "key", Multiline: true}, "\x1b[200~"+want+"\x1b[201~\x04")
		if err != nil || got != want {
			t.Errorf("%d bytes arrived of %d: %v", len(got), len(want), err)
		}
	}
}

func TestAskHidden(t *testing.T) {
	answer, screen, err := ask(t, Question{Label: "password", Help: "of the wifi", Hidden: true}, "wrong\r", "other\r", "s3cret\r", "s3cret\r")
	if answer != "s3cret" || err != nil {
		t.Fatalf("%q, %v", answer, err)
	}
	if strings.Contains(screen, "s3cret") || strings.Contains(screen, "wrong") {
		t.Errorf("it is shown: %q", screen)
	}
	for _, text := range []string{"of the wifi", "password (not shown): ", "once more (not shown): ", "the two answers differ"} {
		if !strings.Contains(screen, text) {
			t.Errorf("%q is not on the screen: %q", text, screen)
		}
	}
	if _, _, err := ask(t, Question{Label: "password", Hidden: true}, "a\r", "b\r", "c\r", "d\r", "e\r", "f\r"); err == nil || !strings.Contains(err.Error(), "differed 3 times") {
		t.Error(err)
	}
	answer, screen, err = ask(t, Question{Label: "password", Hidden: true, Once: true}, "s3cret\r")
	if answer != "s3cret" || err != nil || strings.Contains(screen, "s3cret") || strings.Contains(screen, "once more") {
		t.Errorf("once: %q, %v, screen %q", answer, err, screen)
	}
}

// What is typed before its question comes is its answer.
func TestAskTypedAhead(t *testing.T) {
	if answer, _, err := ask(t, Question{Label: "password", Hidden: true}, "s3cret\rs3cret\r"); answer != "s3cret" || err != nil {
		t.Errorf("%q, %v", answer, err)
	}
}

func TestAskCancelled(t *testing.T) {
	if _, _, err := ask(t, Question{Label: "x"}, "ab\x03"); !errors.Is(err, ErrCancelled) {
		t.Error(err)
	}
	_, theirs := terminal(t, 80, 24)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (&Streams{Err: io.Discard, Tty: theirs}).Ask(ctx, Question{Label: "x"}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := (&Streams{Err: io.Discard}).Ask(t.Context(), Question{Label: "x"}); err == nil {
		t.Error("it asks nobody")
	}
}

func TestConfirm(t *testing.T) {
	for typed, want := range map[string]bool{"y\r": true, "YES\r": true, "n\r": false, "\r": false, "yeah\r": false} {
		ours, theirs := terminal(t, 80, 24)
		go io.Copy(io.Discard, ours)
		go io.WriteString(ours, typed)
		got, err := (&Streams{Err: io.Discard, Tty: theirs}).Confirm(t.Context(), "sure?")
		if got != want || err != nil {
			t.Errorf("%q: %v, %v", typed, got, err)
		}
	}
}

func TestStreams(t *testing.T) {
	var out bytes.Buffer
	s := &Streams{Err: &out, Color: true, Quiet: true}
	s.Say("not this")
	s.Warn("%s", "a\x1bb")
	s.Problem(errors.New("one\n  two\x07\n"))
	if got, want := out.String(), "\x1b[33mwarning:\x1b[0m ab\n\x1b[31merror:\x1b[0m one\n  two\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if s.PaintOut(Red, "x") != "x" || s.Paint(Red, "") != "" {
		t.Error("colour where none is wanted")
	}
	if System(os.Getenv).CanPrompt() && os.Getenv("CI") != "" {
		t.Error("it would ask in CI")
	}
}
