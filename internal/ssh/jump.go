package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// hop is a connection to a jump host, shared by all that goes through it. It
// is closed when nothing does any more.
type hop struct {
	ready chan struct{} // closed when conn or err is set
	conn  *Conn
	err   error
	gone  bool // who opened it gave up; that says nothing about the host
	users int
}

// maxHops bounds a chain, which configurations can make endless.
const maxHops = 8

// parseJump reads a list of hosts as in ProxyJump, the first of which is
// reached first.
func parseJump(list string) ([]Target, error) {
	if list == "" || list == "none" {
		return nil, nil
	}
	var hops []Target
	for text := range strings.SplitSeq(list, ",") {
		t, err := ParseTarget(text)
		if err == nil && t.Jump != "" {
			err = fmt.Errorf("target %q: a jump host has no jump hosts of its own; write them before it", text)
		}
		if err != nil {
			return nil, fmt.Errorf("ProxyJump: %w", err)
		}
		hops = append(hops, t)
	}
	return hops, nil
}

// formatJump is the list that parseJump reads.
func formatJump(hops []Target) string {
	texts := make([]string, len(hops))
	for i, t := range hops {
		texts[i] = strings.TrimPrefix(t.String(), "ssh://")
	}
	return strings.Join(texts, ",")
}

// enter connects to the last of hops, through the others, or takes the
// connection that there is. Each has its own configuration and its host key
// checked. The caller has to call leave in the end.
func (d *Dialer) enter(ctx context.Context, cfg Config, hops []Target) (h *hop, leave func(), err error) {
	via := hops[len(hops)-1]
	via.Jump = formatJump(hops[:len(hops)-1])
	name := via.String()
	if slices.Contains(cfg.through, name) || len(cfg.through) == maxHops {
		return nil, nil, fmt.Errorf("ProxyJump goes in circles: %s", strings.Join(append(cfg.through, name), ", "))
	}
	next := Config{
		Target: via, Env: cfg.Env, File: cfg.File, ConnectTimeout: cfg.ConnectTimeout,
		SessionTimeout: cfg.SessionTimeout, KeepAlive: cfg.KeepAlive, KeepAliveMax: cfg.KeepAliveMax,
		through: append(slices.Clone(cfg.through), name),
	}
	key := cfg.File + "\x00" + name
	for {
		h, mine := d.claim(key)
		if mine {
			h.conn, h.err = d.Dial(ctx, next)
			h.gone = h.err != nil && ctx.Err() != nil
			close(h.ready)
		}
		select {
		case <-h.ready:
			err = h.err
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if err == nil {
			return h, func() { d.leave(key, h) }, nil
		}
		d.leave(key, h)
		if mine || ctx.Err() != nil || !h.gone {
			return nil, nil, err
		}
	}
}

// claim gives the connection for key, or one that is mine to open.
func (d *Dialer) claim(key string) (h *hop, mine bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h = d.hops[key]; h == nil || h.ended() {
		if d.hops == nil {
			d.hops = map[string]*hop{}
		}
		h, mine = &hop{ready: make(chan struct{})}, true
		d.hops[key] = h
	}
	h.users++
	return h, mine
}

// leave closes a connection that nobody needs any more.
func (d *Dialer) leave(key string, h *hop) {
	d.mu.Lock()
	h.users--
	last := h.users == 0
	if last && d.hops[key] == h {
		delete(d.hops, key)
	}
	d.mu.Unlock()
	if last && h.conn != nil {
		h.conn.Close()
	}
}

// doubt has the next one open a connection of its own, because this one may be
// dead: its keep-alives will tell those who use it.
func (d *Dialer) doubt(h *hop) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, known := range d.hops {
		if known == h {
			delete(d.hops, key)
		}
	}
}

// ended tells whether a new connection is needed.
func (h *hop) ended() bool {
	select {
	case <-h.ready:
	default:
		return false // it is being opened
	}
	if h.err != nil {
		return true
	}
	select {
	case <-h.conn.Done():
		return true
	default:
		return false
	}
}

// dial connects to an address as the jump host sees it. What is returned ends
// at once when it is closed, which the channel behind it may not; done is called
// when the channel has.
func (h *hop) dial(ctx context.Context, address string, done func()) (net.Conn, error) {
	channel, err := h.conn.client.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	go func() {
		_, _ = io.Copy(channel, far)
		_ = channel.Close() // waits for room on a line that is dead, until the keep-alives close it
	}()
	go func() {
		_, _ = io.Copy(far, channel)
		_ = far.Close()
		done()
	}()
	return near, nil
}

// jumpError says why a jump host does not reach the next one.
func jumpError(name, via string, err error) error {
	var refused *ssh.OpenChannelError
	if !errors.As(err, &refused) {
		return fmt.Errorf("connect to %s through %s: %w", name, via, err)
	}
	switch {
	case refused.Reason == ssh.Prohibited:
		return fmt.Errorf("connect to %s: %w: %s does not pass connections on (%s); see AllowTcpForwarding and PermitOpen in its sshd_config", name, ErrUnreachable, via, refused.Message)
	case strings.Contains(strings.ToLower(refused.Message), "refused"):
		return fmt.Errorf("connect to %s through %s: %w: is sshd running there, on that port?", name, via, ErrRefused)
	default:
		return fmt.Errorf("connect to %s through %s: %w: %s", name, via, ErrUnreachable, refused.Message)
	}
}
