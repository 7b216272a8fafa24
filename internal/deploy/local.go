package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"

	"github.com/crs58/fleet/internal/flake"
)

// localTarget is this computer. What needs root goes through sudo, which asks
// at the terminal when it wants to know the password.
type localTarget struct {
	scripted
	class flake.Class
	root  bool // this process is root
	// terminal is [Options.Terminal].
	terminal func(use func(in io.Reader, out io.Writer) error) error
	// activation is the one that this process began, failed the units that had
	// failed before it.
	activation *ownActivation
	failed     []string
}

func newLocalTarget(class flake.Class, root bool, terminal func(func(io.Reader, io.Writer) error) error) *localTarget {
	if terminal == nil {
		terminal = func(use func(io.Reader, io.Writer) error) error { return use(nil, io.Discard) }
	}
	t := &localTarget{class: class, root: root, terminal: terminal}
	t.scripted = scripted{shell: t, name: "local"}
	return t
}

// Connect asks for nothing: this computer is always there.
func (t *localTarget) Connect(context.Context) error { return nil }

func (t *localTarget) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// Reconnect has nothing to connect to.
func (t *localTarget) Reconnect(context.Context) error { return nil }

// Inspect looks at this computer without sudo, unless it is about a deploy, and
// refuses one that is not of the machine's class: activating there would break it.
func (t *localTarget) Inspect(ctx context.Context, keyFile, deploy string) (Facts, error) {
	if t.activation.is(deploy) {
		facts, err := t.inspect(ctx, t.runUnprivileged, keyFile, "")
		facts.failedBefore = t.failed
		return facts, err
	}
	run := t.runUnprivileged
	if deploy != "" { // its folder is root's
		run = t.run
	}
	return t.inspect(ctx, run, keyFile, deploy)
}

func (t *localTarget) inspect(ctx context.Context, run runner, keyFile, deploy string) (Facts, error) {
	var out strings.Builder
	if err := run(ctx, inspectScript, nil, &out, keyFile, deploy); err != nil {
		return Facts{}, fmt.Errorf("look at this computer: %w", err)
	}
	facts, err := parseFacts(out.String())
	if err != nil {
		return Facts{}, fmt.Errorf("look at this computer: %w", err)
	}
	if err := checkLocal(t.class, facts); err != nil {
		return Facts{}, err
	}
	return facts, nil
}

// checkLocal refuses a computer that the machine cannot be.
func checkLocal(class flake.Class, facts Facts) error {
	switch darwin := facts.os == "Darwin"; {
	case class == flake.Darwin && !darwin:
		return errors.New("its address is local, but this computer is not a Mac; run this on the machine itself or give it an ssh:// address")
	case class != flake.Darwin && !facts.nixos:
		return errors.New("its address is local, but this computer does not run NixOS (it has no /etc/NIXOS); run this on the machine itself or give it an ssh:// address")
	}
	return nil
}

// runner runs a script of ours, as [shell] does.
type runner func(ctx context.Context, script string, stdin io.Reader, stdout io.Writer, args ...string) error

func (t *localTarget) runUnprivileged(ctx context.Context, script string, stdin io.Reader, stdout io.Writer, args ...string) error {
	return t.execute(ctx, scriptCommand(script, args...), stdin, stdout)
}

// run implements shell.
func (t *localTarget) run(ctx context.Context, script string, stdin io.Reader, stdout io.Writer, args ...string) error {
	command := scriptCommand(script, args...)
	if !t.root {
		if err := t.elevate(ctx); err != nil {
			return err
		}
		command = append([]string{"sudo", "-n", "-H", "--"}, command...)
	}
	return t.execute(ctx, command, stdin, stdout)
}

// askForRoot has the user give their password where that is needed, before any bound
// on what is done with it: typing takes its time.
func askForRoot(ctx context.Context, t Target) error {
	if here, ok := t.(*localTarget); ok && !here.root {
		return here.elevate(ctx)
	}
	return nil
}

// elevate lets sudo ask for a password, at the terminal, unless it knows it: it
// forgets it after a while.
func (t *localTarget) elevate(ctx context.Context) error {
	if exec.CommandContext(ctx, "sudo", "-n", "true").Run() == nil {
		return nil
	}
	var said bytes.Buffer
	err := t.terminal(func(in io.Reader, out io.Writer) error {
		cmd := exec.CommandContext(ctx, "sudo", "-v")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, io.MultiWriter(out, &said) // it asks on /dev/tty
		return cmd.Run()
	})
	if err != nil {
		return fmt.Errorf("become root on this computer with sudo: %w: %s", err, firstLine(said.String()))
	}
	return nil
}

// execute runs a command in a process group of its own, which a Ctrl-C at the
// terminal does not reach.
func (t *localTarget) execute(ctx context.Context, command []string, stdin io.Reader, stdout io.Writer) error {
	var said bytes.Buffer
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, &said
	err := runBounded(ctx, cmd)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return &scriptError{code: exit.ExitCode(), said: firstLine(said.String())}
	}
	return err
}

// Store is the default store: what is built here is there already.
func (t *localTarget) Store(context.Context) (string, error) { return "", nil }

// Traffic is none: nothing is copied.
func (t *localTarget) Traffic() int64 { return 0 }

// Close has nothing to give back.
func (t *localTarget) Close() error { return nil }
