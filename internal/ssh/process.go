package ssh

import (
	"bytes"
	"context"
	"io"
	"strings"
	"time"
)

// A command that may have to be killed says first, on stderr, which process it is:
// OpenSSH passes no signal on to what root runs.
const (
	announce  = `echo "` + processIs + `$$" >&2; exec "$@"`
	processIs = "fleet: the process is "
)

func announced(args []string) []string {
	return append([]string{"sh", "-c", announce, "sh"}, args...)
}

// announcement takes what an announced command writes to stderr and hands on what
// is the command's own.
type announcement struct {
	next    io.Writer
	process string
	line    []byte // what is not yet a line, until the process is known
}

func (a *announcement) Write(p []byte) (int, error) {
	if a.process != "" {
		return a.next.Write(p)
	}
	a.line = append(a.line, p...)
	for a.process == "" {
		line, rest, found := bytes.Cut(a.line, []byte("\n"))
		if !found {
			return len(p), nil
		}
		process, is := strings.CutPrefix(string(line), processIs)
		if is {
			a.process = process
		} else if _, err := a.next.Write(a.line[:len(line)+1]); err != nil {
			return 0, err
		}
		a.line = rest
	}
	return len(p), a.flush()
}

// flush hands on what is no whole line.
func (a *announcement) flush() error {
	if len(a.line) == 0 {
		return nil
	}
	_, err := a.next.Write(a.line)
	a.line = nil
	return err
}

// killPatience is how long a command may take to be killed.
const killPatience = time.Second

// kill kills an announced command with all that it has started. Over a line that
// is dead there is nothing to be done.
func (c *Conn) kill(process string) {
	if process == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), killPatience)
	defer cancel()
	const script = `group=$(ps -o pgid= -p "$1" | tr -d ' ') && kill -KILL "-$group"`
	_ = c.Run(ctx, Command{Title: "kill a command", Args: []string{"sh", "-c", script, "sh", process}})
}
