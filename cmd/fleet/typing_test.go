package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"

	"github.com/creack/pty"
)

// typing runs a program on a terminal of its own and types one line of a file
// whenever it asks; `^D` at the end of a line stands for that key in place of
// Enter, `\n` for Enter in between, and no line being left for Ctrl-C. What the
// terminal has shown is its standard output at the end: typing FILE PROGRAM ARGUMENTS...
func typing() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	answers := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	cmd := exec.Command(os.Args[2], os.Args[3:]...)
	cmd.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=1", "CI=")
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 50, Cols: 500})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	waits := []byte("\x1b[?2004h") // what a question switches on before it reads
	var shown, unread []byte
	buffer := make([]byte, 4096)
	for {
		n, err := terminal.Read(buffer)
		shown = append(shown, buffer[:n]...)
		unread = append(unread, buffer[:n]...)
		for {
			_, rest, asks := bytes.Cut(unread, waits)
			if !asks {
				break
			}
			unread = rest
			answer := "\x03"
			if len(answers) > 0 {
				answer, answers = keys(answers[0]), answers[1:]
			}
			if _, err := terminal.WriteString(answer); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
		if err != nil { // the program has ended
			break
		}
	}
	os.Stdout.Write(controls.ReplaceAll(shown, nil))
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	} else if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

// controls are what a terminal does not show.
var controls = regexp.MustCompile(`\r|\x1b\[[?0-9;]*[A-Za-z]`)

// keys are those that type a line.
func keys(line string) string {
	line, end := strings.CutSuffix(strings.ReplaceAll(line, `\n`, "\r"), "^D")
	if end {
		return line + "\x04"
	}
	return line + "\r"
}
