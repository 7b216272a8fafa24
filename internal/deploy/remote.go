package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/crs58/fleet/internal/ssh"
)

// sshTarget is a host behind SSH: everything goes through one connection.
type sshTarget struct {
	scripted
	dial  func(context.Context) (*ssh.Conn, error)
	reach time.Duration
	conn  *ssh.Conn
	// daemon is the host's nix-daemon, known since it was looked at over this
	// connection: another system may have it elsewhere.
	daemon string
	// tunnel is read by whoever watches a copy while another opens it.
	tunnel atomic.Pointer[ssh.Tunnel]
}

func newSSHTarget(name string, dial func(context.Context) (*ssh.Conn, error), reach time.Duration) *sshTarget {
	t := &sshTarget{dial: dial, reach: reach}
	t.scripted = scripted{shell: t, name: name}
	return t
}

// alive tells whether there is a connection that is not known to be lost.
func (t *sshTarget) alive() bool {
	if t.conn == nil {
		return false
	}
	select {
	case <-t.conn.Done():
		return false
	default:
		return true
	}
}

func (t *sshTarget) Connect(ctx context.Context) error {
	if t.alive() {
		return nil
	}
	_ = t.Close() // what is left of a connection that is lost
	conn, err := t.dial(ctx)
	if err != nil {
		return err
	}
	t.conn = conn
	return nil
}

// Inspect also says what a host lacks to be deployed to.
func (t *sshTarget) Inspect(ctx context.Context, keyFile, deploy string) (Facts, error) {
	facts, err := t.scripted.Inspect(ctx, keyFile, deploy)
	switch {
	case err != nil:
		return Facts{}, err
	case !facts.root:
		return Facts{}, fmt.Errorf("%s lets us in as %s, but only root can change a system: write root@ in its address", t.name, facts.user)
	case facts.daemon == "":
		return Facts{}, fmt.Errorf("there is no Nix on %s: install it there first", t.name)
	}
	t.daemon = facts.daemon
	return facts, nil
}

// run implements shell.
func (t *sshTarget) run(ctx context.Context, script string, stdin io.Reader, stdout io.Writer, args ...string) error {
	conn := t.conn
	if conn == nil {
		return fmt.Errorf("%s: %w", t.name, ssh.ErrClosed)
	}
	err := conn.Run(ctx, ssh.Command{
		Title:  "the script for that", // all of it would fill the message
		Args:   scriptCommand(script, args...),
		Stdin:  stdin,
		Stdout: stdout,
		Kill:   true,
	})
	var exit *ssh.ExitError
	switch cause := context.Cause(ctx); {
	case errors.As(err, &exit):
		return &scriptError{code: exit.Code, said: exit.Stderr}
	case cause != nil && errors.Is(err, cause):
		return cause
	}
	return err
}

// Store opens the tunnel to the host's Nix daemon.
func (t *sshTarget) Store(ctx context.Context) (string, error) {
	tunnel := t.tunnel.Load()
	if tunnel == nil {
		if t.conn == nil {
			return "", fmt.Errorf("%s: %w", t.name, ssh.ErrClosed)
		}
		var err error
		if tunnel, err = t.conn.NixDaemon(ctx, t.daemon, 2*t.reach); err != nil {
			return "", err
		}
		t.tunnel.Store(tunnel)
	}
	return tunnel.StoreURI(), nil
}

func (t *sshTarget) Traffic() int64 {
	tunnel := t.tunnel.Load()
	if tunnel == nil {
		return 0
	}
	return tunnel.BytesSent() + tunnel.BytesReceived()
}

// storeErr is what the tunnel knows of a failure on the host since then, which Nix
// itself is not told.
func (t *sshTarget) storeErr(since time.Time) error {
	tunnel := t.tunnel.Load()
	if tunnel == nil {
		return nil
	}
	return tunnel.Err(since)
}

func (t *sshTarget) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if t.conn == nil {
		return nil, fmt.Errorf("%s: %w", t.name, ssh.ErrClosed)
	}
	return t.conn.DialContext(ctx, network, address)
}

// Reconnect proves that the host can still be reached: nothing of the
// connection at hand is used for it.
func (t *sshTarget) Reconnect(ctx context.Context) error {
	_ = t.Close()
	ctx, cancel := context.WithTimeout(ctx, t.reach)
	defer cancel()
	return t.Connect(ctx)
}

func (t *sshTarget) Close() error {
	var err error
	if tunnel := t.tunnel.Swap(nil); tunnel != nil {
		err = tunnel.Close()
	}
	if t.conn != nil {
		err = errors.Join(err, t.conn.Close())
		t.conn, t.daemon = nil, ""
	}
	return err
}
