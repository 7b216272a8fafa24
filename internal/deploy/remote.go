package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/crs58/fleet/internal/ssh"
)

// sshTarget is a host behind SSH: everything goes through one connection.
type sshTarget struct {
	scripted
	dial      func(context.Context) (*ssh.Conn, error)
	reconnect time.Duration
	reach     time.Duration
	conn      *ssh.Conn
	tunnel    *ssh.Tunnel
}

func newSSHTarget(name string, dial func(context.Context) (*ssh.Conn, error), timeouts Timeouts) *sshTarget {
	t := &sshTarget{dial: dial, reach: timeouts.Reach, reconnect: timeouts.Reconnect}
	t.scripted = scripted{shell: t, name: name}
	return t
}

func (t *sshTarget) Connect(ctx context.Context) error {
	if t.conn != nil {
		select {
		case <-t.conn.Done():
			_ = t.Close() // what is left of a connection that is lost
		default:
			return nil
		}
	}
	conn, err := t.dial(ctx)
	if err != nil {
		return err
	}
	t.conn = conn
	return nil
}

// Inspect also says what a host lacks to be deployed to.
func (t *sshTarget) Inspect(ctx context.Context, keyFile string) (Facts, error) {
	facts, err := t.scripted.Inspect(ctx, keyFile)
	switch {
	case err != nil:
		return Facts{}, err
	case !facts.root:
		return Facts{}, fmt.Errorf("%s lets us in as %s, but only root can change a system: write root@ in its address", t.name, facts.user)
	case facts.Nix == "":
		return Facts{}, fmt.Errorf("there is no Nix on %s: install it there first", t.name)
	}
	return facts, nil
}

// run implements shell.
func (t *sshTarget) run(ctx context.Context, script string, stdin []byte, args ...string) (string, error) {
	if t.conn == nil {
		return "", fmt.Errorf("%s: %w", t.name, ssh.ErrClosed)
	}
	var out strings.Builder
	err := t.conn.Run(ctx, ssh.Command{
		Args:   append([]string{"/bin/sh", "-c", prelude + script, "fleet"}, args...),
		Stdin:  bytes.NewReader(stdin),
		Stdout: &out,
	})
	var exit *ssh.ExitError
	if errors.As(err, &exit) { // the script as a command would fill the message
		return "", &scriptError{code: exit.Code, said: exit.Stderr}
	}
	return out.String(), err
}

// scriptError says that a script of ours failed on a machine.
type scriptError struct {
	code int
	said string
}

func (e *scriptError) Error() string {
	if e.said == "" {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.said
}

// Store opens the tunnel to the host's Nix daemon.
func (t *sshTarget) Store(ctx context.Context) (string, error) {
	if t.tunnel == nil {
		if t.conn == nil {
			return "", fmt.Errorf("%s: %w", t.name, ssh.ErrClosed)
		}
		tunnel, err := t.conn.NixDaemon(ctx, "")
		if err != nil {
			return "", err
		}
		t.tunnel = tunnel
	}
	return t.tunnel.StoreURI(), nil
}

// StoreErr is what the tunnel knows of a failure on the host.
func (t *sshTarget) StoreErr() error {
	if t.tunnel == nil {
		return nil
	}
	return t.tunnel.Err()
}

// Activate starts the activation and follows it. If the connection is lost, the
// host is looked for again for a while: the activation itself may have cut it.
func (t *sshTarget) Activate(ctx context.Context, a Activation) (int, error) {
	err := t.start(ctx, a)
	if errors.Is(err, ssh.ErrClosed) || errors.Is(err, ssh.ErrConnectionLost) {
		err = t.startAgain(ctx, a, err)
	}
	if err != nil {
		return 0, err
	}
	return t.follow(ctx, a, func(err error) error { return t.again(ctx, err) })
}

// startAgain finds out after a loss whether an activation was begun, and begins
// it if not.
func (t *sshTarget) startAgain(ctx context.Context, a Activation, lost error) error {
	if err := t.again(ctx, lost); err != nil {
		return err
	}
	now, err := t.look(ctx, a.ID, watch{})
	switch {
	case err != nil:
		return fmt.Errorf("%w: whether the activation on %s was begun could not be seen: %w", ErrUnknown, t.name, err)
	case now.state == "gone":
		return t.start(ctx, a)
	}
	return nil
}

// again connects again after a loss. It gives an error that says that the
// outcome is unknown if that does not succeed in time.
func (t *sshTarget) again(ctx context.Context, lost error) error {
	if !errors.Is(lost, ssh.ErrConnectionLost) && !errors.Is(lost, ssh.ErrClosed) && !errors.Is(lost, context.DeadlineExceeded) {
		return fmt.Errorf("%w: the activation on %s cannot be watched: %w", ErrUnknown, t.name, lost)
	}
	deadline, cancel := context.WithTimeout(ctx, t.reconnect)
	defer cancel()
	for pause := 250 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		_ = t.Close()
		attempt, cancel := context.WithTimeout(deadline, t.reach)
		err := t.Connect(attempt)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-deadline.Done():
			return fmt.Errorf("%w: %s was lost during the activation, which goes on there, and could not be reached again within %s: %w",
				ErrUnknown, t.name, t.reconnect, err)
		}
	}
}

func (t *sshTarget) Close() error {
	var err error
	if t.tunnel != nil {
		err = t.tunnel.Close()
		t.tunnel = nil
	}
	if t.conn != nil {
		err = errors.Join(err, t.conn.Close())
		t.conn = nil
	}
	return err
}
