package ssh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// attempt is one try to reach a host by one of its addresses.
type attempt struct {
	dialer *Dialer
	cfg    Config // Target is the address
	host   string // what the host is called
	name   string // the address for errors
	settings
	timeout time.Duration
	keys    credentials
	trusted bool // the key that the host has shown
	// first says, when the host has shown a key that is trusted, whether no other
	// attempt was there before.
	first func() bool
}

// errOvertaken ends an attempt that comes second.
var errOvertaken = errors.New("the host was reached by another address")

// run makes the connection. Before it logs in, an attempt touches neither the
// person's keys nor their agent.
func (a *attempt) run(ctx context.Context) (*Conn, error) {
	var err error
	if a.settings, err = resolve(ctx, a.cfg); err != nil {
		return nil, err
	}
	check, err := newHostKeyCheck(a.cfg, a.settings)
	if err != nil {
		return nil, err
	}
	defer a.keys.close()
	a.timeout = cmp.Or(a.cfg.ConnectTimeout, a.connectTimeout, connectTimeout)
	a.name = a.cfg.Target.Host
	if a.settings.host != a.name || a.port != 22 {
		a.name += " (" + a.address() + ")"
	}
	client, wire, err := a.login(ctx, check)
	if errors.Is(err, ErrHostKeyChanged) && check.passOver() {
		// Unless the other key is one of the host, what the first one says counts.
		other, otherWire, failed := a.login(ctx, check)
		if a.trusted {
			client, wire, err = other, otherWire, failed
		}
	}
	if err != nil {
		return nil, err
	}
	return newConn(a.dialer, a.cfg, a.host, a.user, client, wire), nil
}

// login connects and makes an SSH connection.
func (a *attempt) login(ctx context.Context, check *hostKeyCheck) (*ssh.Client, *wire, error) {
	raw, err := a.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	wire := &wire{Conn: raw}
	client, err := a.handshake(ctx, wire, check)
	if err != nil {
		raw.Close()
		return nil, nil, proxyError(ctx, raw, err)
	}
	raw.SetDeadline(time.Time{})
	return client, wire, nil
}

// connect makes the byte stream to a host: directly, through jump hosts or by
// a ProxyCommand. It has its deadline set for the exchange of keys.
func (a *attempt) connect(ctx context.Context) (net.Conn, error) {
	hops, err := parseJump(cmp.Or(a.cfg.Target.Jump, a.proxyJump))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", a.name, err)
	}
	var raw net.Conn
	deadline := time.Now().Add(a.timeout)
	switch {
	case len(hops) > 0:
		raw, deadline, err = a.jump(ctx, hops)
	case a.proxyCommand != "":
		if raw, err = startProxy(a.cfg, a.proxyCommand); err != nil {
			err = fmt.Errorf("connect to %s: start its ProxyCommand: %w", a.name, err)
		}
	default:
		if raw, err = (&net.Dialer{Deadline: deadline}).DialContext(ctx, a.network, a.address()); err != nil {
			err = reachError(ctx, a.name, a.timeout, err)
		}
	}
	if err != nil {
		return nil, err
	}
	raw.SetDeadline(deadline)
	return raw, nil
}

// jump connects through jump hosts. The time for the last step starts when they
// are reached.
func (a *attempt) jump(ctx context.Context, hops []Target) (net.Conn, time.Time, error) {
	via, leave, err := a.dialer.enter(ctx, a.cfg, hops)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("reach %s: %w", a.name, err)
	}
	heard := via.conn.wire.received.Load()
	deadline := time.Now().Add(a.timeout)
	bounded, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	raw, err := via.dial(bounded, a.address(), leave)
	if err != nil {
		if via.conn.wire.received.Load() == heard {
			a.dialer.doubt(via)
		}
		leave()
		if bounded.Err() != nil {
			return nil, deadline, reachError(ctx, a.name+" through "+via.conn.host, a.timeout, os.ErrDeadlineExceeded)
		}
		return nil, deadline, jumpError(a.name, via.conn.host, err)
	}
	return raw, deadline, nil
}

// handshake makes an SSH connection of a byte stream.
func (a *attempt) handshake(ctx context.Context, wire *wire, check *hostKeyCheck) (*ssh.Client, error) {
	stop := context.AfterFunc(ctx, func() { wire.Close() })
	defer stop()

	var keyErr error
	var once sync.Once // the key is checked again whenever keys are exchanged anew
	config := &ssh.ClientConfig{
		User:              a.user,
		HostKeyAlgorithms: check.algorithms,
		HostKeyCallback: func(host string, remote net.Addr, key ssh.PublicKey) error {
			err := check.callback(host, remote, key)
			once.Do(func() {
				if err == nil && !a.first() {
					err = errOvertaken
				}
				if keyErr, a.trusted = err, err == nil; a.trusted {
					wire.SetDeadline(time.Now().Add(authTimeout))
				}
			})
			return err
		},
	}
	a.keys.wait = func(waiting bool) {
		if waiting {
			wire.SetDeadline(time.Time{})
		} else {
			wire.SetDeadline(time.Now().Add(authTimeout))
		}
	}
	a.keys.methods(config, func() error { return a.dialer.collect(ctx, a.cfg, a.settings, &a.keys) })
	conn, channels, requests, err := ssh.NewClientConn(wire, check.name, config)
	switch {
	case err == nil:
		return ssh.NewClient(conn, channels, requests), nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("connect to %s: %w", a.name, context.Cause(ctx))
	case keyErr != nil:
		return nil, fmt.Errorf("connect to %s: %w", a.name, keyErr)
	case a.keys.err != nil:
		return nil, a.keys.err
	case isTimeout(err) && a.trusted:
		return nil, fmt.Errorf("authenticate at %s: %w (%s)", a.name, ErrTimeout, authTimeout)
	case isTimeout(err):
		return nil, fmt.Errorf("connect to %s: %w: it accepted the connection and said nothing for %s", a.name, ErrTimeout, a.timeout)
	case a.trusted:
		return nil, &AuthError{User: a.user, Host: a.name, Accepts: a.keys.accepts, Tried: a.keys.tried, Skipped: a.keys.skipped, Err: err}
	default:
		return nil, fmt.Errorf("connect to %s: %w: what answers there does not speak SSH as we do: %w", a.name, ErrUnreachable, err)
	}
}

// reachError sorts the ways in which a network says no.
func reachError(ctx context.Context, name string, timeout time.Duration, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("connect to %s: %w", name, context.Cause(ctx))
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("connect to %s: %w: is sshd running there, on that port?", name, ErrRefused)
	case isTimeout(err):
		return fmt.Errorf("connect to %s: %w (%s)", name, ErrTimeout, timeout)
	default:
		return fmt.Errorf("connect to %s: %w: %w", name, ErrUnreachable, err)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// isCut tells whether the other side ended a connection without a word.
func isCut(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// wire counts what arrives, which is how keep-alives know that the host lives
// while its answers to them queue behind other data.
type wire struct {
	net.Conn
	received atomic.Uint64
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.received.Add(uint64(n))
	return n, err
}
