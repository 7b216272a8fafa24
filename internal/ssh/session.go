package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// session is a started remote command that holds one of the connection's slots.
type session struct {
	*ssh.Session
	finished chan struct{}
	err      error // of Wait; valid after finished
}

// start runs line on the host once a slot is free. The returned session
// finishes by itself; abandon cuts it short.
func (c *connection) start(ctx context.Context, line string, prepare func(*ssh.Session) error) (*session, error) {
	select {
	case <-c.done:
		return nil, c.why(ErrClosed)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case c.slots <- struct{}{}:
	}
	s := &session{finished: make(chan struct{})}
	started := make(chan error, 1)
	var sent atomic.Bool
	go func() {
		defer func() { <-c.slots }()
		defer close(s.finished)
		var err error
		if s.Session, err = c.newSession(); err != nil {
			started <- err
			return
		}
		defer s.Session.Close()
		go c.openSpare()
		if err = prepare(s.Session); err == nil {
			sent.Store(true)
			err = s.Session.Start(line)
		}
		started <- err
		if err == nil {
			s.err = s.Session.Wait()
		}
	}()

	timer := time.NewTimer(c.cfg.SessionTimeout)
	defer timer.Stop()
	var err error
	select {
	case err = <-started:
		if err == nil {
			return s, nil
		}
		c.settle()
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-timer.C:
		err = fmt.Errorf("%w (%s)", ErrTimeout, c.cfg.SessionTimeout)
	}
	go c.abandonStarting(s, started)
	return nil, c.startError(err, sent.Load())
}

// spare is a session that is opened before there is a command for it, which then
// costs one round trip instead of two.
type spare struct {
	opened  chan struct{} // closed when it is known whether it is
	session *ssh.Session
	err     error
	since   time.Time
}

// spareAge is how old a spare session may be: a host can be told to close those
// that are idle.
const spareAge = 30 * time.Second

// openSpare opens a spare session unless there is one. A host that refuses it is
// asked again when there is a command.
func (c *connection) openSpare() {
	s := &spare{opened: make(chan struct{}), since: time.Now()}
	if c.spare.CompareAndSwap(nil, s) {
		s.session, s.err = c.client.NewSession()
		close(s.opened)
	}
}

// newSession gives the spare session, or opens one.
func (c *connection) newSession() (*ssh.Session, error) {
	select {
	case <-c.done: // here nothing is begun; on a spare session that would not be known
		return nil, net.ErrClosed
	default:
	}
	if s := c.spare.Swap(nil); s != nil {
		<-s.opened
		switch {
		case s.err == nil && time.Since(s.since) < spareAge:
			return s.session, nil
		case s.err == nil:
			go s.session.Close() // which can block on a dead line
		}
	}
	return c.open()
}

// open opens a session. A host that has too many refuses; since it still
// counts those that ended a moment ago, that is worth a second try.
func (c *connection) open() (*ssh.Session, error) {
	for pause := 10 * time.Millisecond; ; pause *= 2 {
		s, err := c.client.NewSession()
		var refused *ssh.OpenChannelError
		if err == nil || !errors.As(err, &refused) || pause > time.Second {
			return s, err
		}
		select {
		case <-c.done:
			return nil, err
		case <-time.After(pause):
		}
	}
}

// abandonStarting ends a session whose start nobody waits for any more.
func (c *connection) abandonStarting(s *session, started <-chan error) {
	select {
	case err := <-started:
		if err == nil {
			s.abandon()
		}
	case <-s.finished:
	case <-c.done:
	}
}

// startError says what is known when a command could not be started; sent is
// whether the host may have begun it nevertheless.
func (c *connection) startError(err error, sent bool) error {
	var refused *ssh.OpenChannelError
	select {
	case <-c.done:
		if sent {
			return c.why(ErrConnectionLost)
		}
		return c.why(ErrClosed)
	default:
	}
	switch {
	case errors.As(err, &refused):
		return fmt.Errorf("%s refuses another session (%s); see MaxSessions in its sshd_config", c.host, refused.Message)
	case sent && errors.Is(err, ErrTimeout):
		return fmt.Errorf("%s: %w: the start of the command was not confirmed: %w", c.host, ErrConnectionLost, err)
	default:
		return fmt.Errorf("start a command on %s: %w", c.host, err)
	}
}

// abandon asks the command to end and lets go of it, without waiting: either
// can block on a dead line, until the keep-alives close it.
func (s *session) abandon() {
	go func() {
		_ = s.Signal(ssh.SIGTERM)
		_ = s.Session.Close()
	}()
}
