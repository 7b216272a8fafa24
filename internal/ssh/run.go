package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// Command is a program to run on the host.
type Command struct {
	// Args are the program and its arguments; they are quoted, not interpreted.
	// They are visible to everybody on the host: no secrets.
	Args []string
	// Stdin is sent until its end. A read that blocks does not hold up Run, but
	// may still be going on when Run has returned. Nil: empty.
	Stdin io.Reader
	// Stdout and Stderr take the output. Nil: thrown away. The end of stderr is
	// kept for the error in any case.
	Stdout, Stderr io.Writer
	// Kill has the command killed, with all that it has started, when ctx ends and
	// the connection still stands; Run waits a moment for that.
	Kill bool
	// Title is what errors call the command. Empty: its arguments.
	Title string
}

func (c Command) name() string {
	if c.Title != "" {
		return c.Title
	}
	return display(c.Args)
}

// Run runs the command to its end. The error is an *ExitError where the
// command failed, ErrConnectionLost where nobody knows, ErrClosed where it was
// not begun. When ctx ends, Run returns at once: what the command did by then is
// unknown as well. The command loses its streams and is sent SIGTERM, which
// OpenSSH passes on except for root: see Kill.
func (c *Conn) Run(ctx context.Context, cmd Command) error {
	args := cmd.Args
	if cmd.Kill {
		args = announced(args)
	}
	args, prefix := c.wrap(args)
	line, err := commandLine(args)
	if err != nil {
		return fmt.Errorf("run on %s: %w", c.host, err)
	}
	if prefix != nil {
		input := cmd.Stdin
		if input == nil {
			input = strings.NewReader("")
		}
		cmd.Stdin = io.MultiReader(prefix, input)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	tail := &tail{}
	stdout := &gate{w: cmd.Stdout, fail: cancel}
	stderr := &gate{w: tail, fail: cancel}
	if cmd.Stderr != nil {
		stderr.w = io.MultiWriter(tail, cmd.Stderr)
	}
	said := &announcement{next: stderr.w}
	if cmd.Kill {
		stderr.w = said
	}
	defer stdout.close()
	defer stderr.close()

	var stdin io.WriteCloser
	s, err := c.start(ctx, line, func(s *ssh.Session) (err error) {
		s.Stdout, s.Stderr = stdout, stderr
		if cmd.Stdin != nil {
			stdin, err = s.StdinPipe()
		}
		return err
	})
	if err != nil {
		return err
	}
	if stdin != nil {
		go func() {
			if _, err := io.Copy(stdin, reader{cmd.Stdin, cancel}); err == nil {
				stdin.Close()
			}
		}()
	}
	select {
	case <-s.finished:
		// Writing out what arrived last may have failed.
		if err := context.Cause(ctx); err != nil && s.err == nil {
			return fmt.Errorf("%s on %s: %w", cmd.name(), c.host, err)
		}
	case <-ctx.Done():
		if cmd.Kill {
			stderr.close()
			c.kill(said.process)
		}
		s.abandon()
		return fmt.Errorf("%s on %s: %w", cmd.name(), c.host, context.Cause(ctx))
	}
	stderr.close()
	if err := said.flush(); err != nil {
		return fmt.Errorf("%s on %s: pass on its output: %w", cmd.name(), c.host, err)
	}
	return c.result(s.err, cmd.name(), tail)
}

// Output runs a command and gives what it wrote to stdout, without the final
// newlines, like $(…) in a shell. More than 16 MiB are an error.
func (c *Conn) Output(ctx context.Context, args ...string) (string, error) {
	return c.output(ctx, Command{Args: args})
}

func (c *Conn) output(ctx context.Context, cmd Command) (string, error) {
	out := &bounded{room: 16 << 20}
	cmd.Stdout = out
	err := c.Run(ctx, cmd)
	return strings.TrimRight(out.String(), "\n"), err
}

// lastLine is where a script of ours has its answer: the login shell may have
// said something before.
func lastLine(text string) string { return text[strings.LastIndexByte(text, '\n')+1:] }

// bounded keeps what is written to it and refuses what would be too much: a
// host may never stop.
type bounded struct {
	strings.Builder
	room int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.room -= len(p); b.room < 0 {
		return 0, errors.New("there is too much of it")
	}
	return b.Builder.Write(p)
}

// result says how a session ended.
func (c *connection) result(err error, command string, tail *tail) error {
	var exit *ssh.ExitError
	var missing *ssh.ExitMissingError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		return &ExitError{Host: c.host, Command: command, Code: exit.ExitStatus(), Signal: exit.Signal(), Stderr: tail.String()}
	case errors.As(err, &missing):
		c.settle()
		return fmt.Errorf("%s: %w", command, c.why(ErrConnectionLost))
	default:
		return fmt.Errorf("%s on %s: %w", command, c.host, err)
	}
}

// gate stands before a caller's writer: shut, when Run has returned, nothing
// passes any more. A writer that fails ends the command, which would
// otherwise wait for ever to be read. It never fails itself.
type gate struct {
	mu   sync.Mutex
	w    io.Writer
	fail context.CancelCauseFunc
}

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.w != nil {
		if _, err := g.w.Write(p); err != nil {
			g.fail(fmt.Errorf("pass on its output: %w", err))
			g.w = nil
		}
	}
	return len(p), nil
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.w = nil
}

// reader ends the command when its input cannot be read: it must not take
// the part that could be for the whole.
type reader struct {
	io.Reader
	fail context.CancelCauseFunc
}

func (r reader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		r.fail(fmt.Errorf("read its input: %w", err))
	}
	return n, err
}

// tail keeps the end of what is written to it.
type tail struct{ text []byte }

const tailSize = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if extra := len(t.text) - tailSize; extra > 0 {
		t.text = append(t.text[:0], t.text[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	return strings.TrimSpace(strings.ToValidUTF8(string(t.text), "�"))
}
