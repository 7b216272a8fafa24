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

// Dial reaches a host on its own, with nobody to ask for secrets.
func Dial(ctx context.Context, cfg Config) (*Conn, error) {
	return new(Dialer).Dial(ctx, cfg)
}

// Dial reaches the host, checks its key and authenticates. It is the only
// handshake that a host sees from us: everything else shares the connection.
func (d *Dialer) Dial(ctx context.Context, cfg Config) (*Conn, error) {
	conn, waited, err := d.dial(ctx, cfg.withDefaults())
	if waited && isCut(err) && ctx.Err() == nil {
		// The host may have lost patience while somebody typed a passphrase, which
		// is known now.
		conn, _, err = d.dial(ctx, cfg.withDefaults())
	}
	return conn, err
}

func (d *Dialer) dial(ctx context.Context, cfg Config) (conn *Conn, waited bool, err error) {
	s, err := resolve(ctx, cfg)
	if err != nil {
		return nil, false, err
	}
	check, err := newHostKeyCheck(cfg, s)
	if err != nil {
		return nil, false, err
	}
	keys, err := d.collect(ctx, cfg, s)
	if err != nil {
		return nil, false, err
	}
	defer keys.close()

	timeout := cmp.Or(cfg.ConnectTimeout, s.connectTimeout, connectTimeout)
	name := cfg.Target.Host
	if s.host != name || s.port != 22 {
		name += " (" + s.address() + ")"
	}
	raw, err := d.connect(ctx, cfg, s, name, timeout)
	if err != nil {
		return nil, false, err
	}
	wire := &wire{Conn: raw}
	client, err := handshake(ctx, wire, s.user, name, timeout, check, keys)
	if err != nil {
		raw.Close()
		return nil, keys.waited, proxyError(ctx, raw, err)
	}
	raw.SetDeadline(time.Time{})
	return newConn(d, cfg, s.user, client, wire), false, nil
}

// connect makes the byte stream to a host: directly, through jump hosts or by
// a ProxyCommand. It has its deadline set for the exchange of keys.
func (d *Dialer) connect(ctx context.Context, cfg Config, s settings, name string, timeout time.Duration) (net.Conn, error) {
	hops, err := parseJump(cmp.Or(cfg.Target.Jump, s.proxyJump))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", name, err)
	}
	var raw net.Conn
	var deadline time.Time
	switch {
	case len(hops) > 0:
		raw, deadline, err = d.jump(ctx, cfg, s, hops, name, timeout)
	case s.proxyCommand != "":
		deadline = time.Now().Add(timeout)
		if raw, err = startProxy(cfg, s.proxyCommand); err != nil {
			err = fmt.Errorf("connect to %s: start its ProxyCommand: %w", name, err)
		}
	default:
		deadline = time.Now().Add(timeout)
		if raw, err = (&net.Dialer{Deadline: deadline}).DialContext(ctx, s.network, s.address()); err != nil {
			err = reachError(ctx, name, timeout, err)
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
func (d *Dialer) jump(ctx context.Context, cfg Config, s settings, hops []Target, name string, timeout time.Duration) (net.Conn, time.Time, error) {
	via, leave, err := d.enter(ctx, cfg, hops)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("reach %s: %w", name, err)
	}
	deadline := time.Now().Add(timeout)
	bounded, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	raw, err := via.dial(bounded, s.address(), leave)
	if err != nil {
		leave()
		if bounded.Err() != nil {
			return nil, deadline, reachError(ctx, name+" through "+via.conn.host, timeout, os.ErrDeadlineExceeded)
		}
		return nil, deadline, jumpError(name, via.conn.host, err)
	}
	return raw, deadline, nil
}

// handshake makes an SSH connection of a byte stream.
func handshake(ctx context.Context, wire *wire, user, name string, timeout time.Duration, check *hostKeyCheck, keys *credentials) (*ssh.Client, error) {
	stop := context.AfterFunc(ctx, func() {
		wire.Close()
		keys.close()
	})
	defer stop()

	var keyErr error
	var once sync.Once // the key is checked again whenever keys are exchanged anew
	trusted := false
	config := &ssh.ClientConfig{
		User:              user,
		HostKeyAlgorithms: check.algorithms,
		HostKeyCallback: func(host string, remote net.Addr, key ssh.PublicKey) error {
			err := check.callback(host, remote, key)
			once.Do(func() {
				if keyErr, trusted = err, err == nil; trusted {
					wire.SetDeadline(time.Now().Add(authTimeout))
				}
			})
			return err
		},
	}
	keys.methods(config)
	keys.wait = func(waiting bool) {
		if waiting {
			wire.SetDeadline(time.Time{})
		} else {
			wire.SetDeadline(time.Now().Add(authTimeout))
		}
	}
	conn, channels, requests, err := ssh.NewClientConn(wire, check.name, config)
	switch {
	case err == nil:
		return ssh.NewClient(conn, channels, requests), nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("connect to %s: %w", name, context.Cause(ctx))
	case keyErr != nil:
		return nil, fmt.Errorf("connect to %s: %w", name, keyErr)
	case isTimeout(err) && trusted:
		return nil, fmt.Errorf("authenticate at %s: %w (%s)", name, ErrTimeout, authTimeout)
	case isTimeout(err):
		return nil, fmt.Errorf("connect to %s: %w: it accepted the connection and said nothing for %s", name, ErrTimeout, timeout)
	case trusted:
		return nil, &AuthError{User: user, Host: name, Accepts: keys.accepts, Tried: keys.tried, Skipped: keys.skipped, Err: err}
	default:
		return nil, fmt.Errorf("connect to %s: %w: what answers there does not speak SSH as we do: %w", name, ErrUnreachable, err)
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
