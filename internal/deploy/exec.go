package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/crs58/fleet/internal/ssh"
	"golang.org/x/sys/unix"
)

// Exec is the only phase of a machine on which a command of the user's runs.
const Exec Phase = "exec"

// Command is a program to run on machines. Its input is empty.
type Command struct {
	// Args are the program and its arguments: no shell looks at them.
	Args []string
	// Root has it run as root on this computer. On a host behind SSH it runs as
	// whoever [Options.Dial] lets in, in a folder always as root.
	Root bool
	// Timeout bounds it on each machine, Parallel the number of machines at once.
	Timeout  time.Duration
	Parallel int
	// OnLine is told each line of output; never two calls at once.
	OnLine func(Line)
}

// Line is a line that a command printed on a machine.
type Line struct {
	Machine string `json:"machine"`
	Stream  Stream `json:"stream"`
	Text    string `json:"text"`
}

// Stream is where a command prints to.
type Stream string

// The streams.
const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
)

// Ran is how a command ended on one machine. Its state is Done only for exit
// status 0.
type Ran struct {
	Result
	// Code is the exit status; -1 where the command was not run, did not end, or
	// nobody saw it.
	Code int `json:"code"`
}

// exitError is an exit status other than 0.
type exitError struct {
	code   int
	signal string // that killed the command, without SIG
}

func (e *exitError) Error() string {
	if e.signal != "" {
		return "killed by SIG" + e.signal
	}
	return fmt.Sprintf("exit status %d", e.code)
}

// Exec runs a command on every machine and tells how it ended on each, sorted by
// name. The command cannot be taken back: where its end was not seen, the
// outcome is unknown.
func (d *Deployer) Exec(ctx context.Context, machines []Machine, c Command) []Ran {
	list := make([]Ran, len(machines))
	slots := make(chan struct{}, max(1, c.Parallel))
	each(machines, func(i int, m Machine) {
		r := &list[i]
		r.Machine, r.Target, r.Code, r.Phase = m.Name, m.Address, -1, Reach
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }() // after its end was told
			d.exec(ctx, m, c, r)
		case <-ctx.Done():
			r.Result = r.fail(ctx, Reach, ctx.Err())
		}
		r.Result = d.conclude(r.Result)
	})
	slices.SortFunc(list, func(a, b Ran) int { return strings.Compare(a.Machine, b.Machine) })
	return list
}

func (d *Deployer) exec(ctx context.Context, m Machine, c Command, r *Ran) {
	d.emit(m.Name, Reach, Started, "")
	t, err := d.connect(ctx, m)
	if err != nil {
		r.Result = r.fail(ctx, Reach, err)
		return
	}
	r.Target, r.Phase = t.String(), Exec
	d.emit(m.Name, Exec, Started, "")
	stdout, stderr := d.lines(m.Name, Stdout, c.OnLine), d.lines(m.Name, Stderr, c.OnLine)
	bounded, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	err = t.Exec(bounded, c.Args, c.Root, stdout, stderr)
	stdout.flush()
	stderr.flush()
	r.ended(ctx, c, err)
}

// lines is a writer whose lines are handed on, one by one.
func (d *Deployer) lines(machine string, stream Stream, onLine func(Line)) *lineSplitter {
	return &lineSplitter{line: func(text string) {
		d.eventMu.Lock()
		defer d.eventMu.Unlock()
		onLine(Line{Machine: machine, Stream: stream, Text: text})
	}}
}

// ended says how the command ended.
func (r *Ran) ended(ctx context.Context, c Command, err error) {
	if err == nil {
		r.State, r.Phase, r.Code = Done, "", 0
		return
	}
	r.State, r.Err, r.Message = Failed, err, err.Error()
	var exit *exitError
	switch {
	case errors.As(err, &exit):
		r.Code = exit.code
	case ctx.Err() != nil:
		r.State, r.Message = Interrupted, "interrupted; the command may still run there"
	case errors.Is(err, context.DeadlineExceeded):
		r.State, r.Message = Unknown, fmt.Sprintf("the command did not end within %s; it may still run there", c.Timeout)
	case errors.Is(err, ssh.ErrClosed), errors.Is(err, ssh.ErrTimeout) && !errors.Is(err, ssh.ErrConnectionLost):
		r.Message = "it was not run: " + r.Message
	case isLost(err):
		r.State, r.Message = Unknown, "whether the command ended is not known: "+err.Error()
	}
}

// searched runs a command with the PATH that our own scripts have: that of a
// login without a terminal lacks Nix on a Mac.
func searched(args []string) []string {
	return append([]string{"/bin/sh", "-c", searchPath + `exec "$@"`, "fleet"}, args...)
}

// Exec runs the command as whoever is logged in.
func (t *sshTarget) Exec(ctx context.Context, args []string, _ bool, stdout, stderr io.Writer) error {
	conn := t.conn
	if conn == nil {
		return fmt.Errorf("%s: %w", t.name, ssh.ErrClosed)
	}
	err := conn.Run(ctx, ssh.Command{Args: searched(args), Stdout: stdout, Stderr: stderr, Kill: true})
	if exit, ok := errors.AsType[*ssh.ExitError](err); ok {
		return &exitError{exit.Code, exit.Signal}
	}
	return err
}

// Exec runs the command as the user, or as root through sudo.
func (t *localTarget) Exec(ctx context.Context, args []string, root bool, stdout, stderr io.Writer) error {
	if _, err := t.Inspect(ctx, "", ""); err != nil { // is it this computer at all?
		return err
	}
	if !root || t.root {
		return runHere(ctx, nil, searched(args), stdout, stderr)
	}
	if err := t.elevate(ctx); err != nil {
		return err
	}
	return runHere(ctx, []string{"sudo", "-n", "-H", "--"}, searched(args), stdout, stderr)
}

// Exec runs the command inside the folder, as an activation is run there.
func (t *rootTarget) Exec(ctx context.Context, args []string, _ bool, stdout, stderr io.Writer) error {
	if t.root == nil {
		return fmt.Errorf("there is no folder %s yet: the machine was never deployed", t.path)
	}
	err := runHere(ctx, []string{t.bwrap}, t.arguments(currentSystem, args), stdout, stderr)
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("run a command in %s: bubblewrap (bwrap) is not installed; root: targets need it, and Linux", t.path)
	}
	return err
}

// runHere runs a command behind a prefix, such as sudo, with all that it starts
// in a process group of its own, which a Ctrl-C at the terminal does not reach
// and the end of ctx does.
func runHere(ctx context.Context, prefix, command []string, stdout, stderr io.Writer) error {
	command = slices.Concat(prefix, command)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err := runBounded(ctx, cmd)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, exec.ErrWaitDelay) { // it ended well and left something behind that holds its output
		return nil
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return &exitError{128 + int(status.Signal()), strings.TrimPrefix(unix.SignalName(status.Signal()), "SIG")}
	}
	return &exitError{code: exit.ExitCode()}
}
