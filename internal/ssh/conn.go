package ssh

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// Conn is an authenticated connection to a host, on which everything is done as
// the user that logged in, or as root: see [Conn.AsRoot]. Its methods may be
// used by many goroutines at once: up to eight sessions run, the others wait.
type Conn struct {
	*connection
	as *elevation // nil: as the user that logged in
}

// connection is what the faces of a connection have in common.
type connection struct {
	cfg    Config
	host   string
	user   string // that logged in
	dialer *Dialer
	client *ssh.Client
	wire   *wire
	slots  chan struct{}
	spare  atomic.Pointer[spare]
	done   chan struct{} // closed when the connection is

	mu    sync.Mutex
	cause error // why the connection is closed, as far as known

	rootOnce turn
	root     *elevation // how root is reached; nil until that is known
}

func newConn(d *Dialer, cfg Config, host, user string, client *ssh.Client, wire *wire) *Conn {
	c := &connection{
		cfg: cfg, host: host, user: user, dialer: d, client: client, wire: wire,
		slots:    make(chan struct{}, maxSessions),
		done:     make(chan struct{}),
		rootOnce: newTurn(),
	}
	go func() {
		err := client.Wait()
		if errors.Is(err, io.EOF) {
			err = errors.New("the other side closed it")
		}
		c.setCause(err)
		close(c.done)
	}()
	go c.keepAlive()
	return &Conn{connection: c}
}

// Close ends the connection and all that runs on it.
func (c *connection) Close() error {
	c.setCause(errors.New("it was closed here"))
	c.wire.Close() // not a polite goodbye, which could block on a dead line
	<-c.done
	return nil
}

// Done is closed when the connection is, from whichever side.
func (c *connection) Done() <-chan struct{} { return c.done }

func (c *connection) setCause(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.cause = err
	}
}

// settle waits a moment for the end of the connection, which is told after
// the end of a session that came with it.
func (c *connection) settle() {
	select {
	case <-c.done:
	case <-time.After(100 * time.Millisecond):
	}
}

// why gives kind (ErrClosed or ErrConnectionLost) with host and reason.
func (c *connection) why(kind error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		return fmt.Errorf("%s: %w", c.host, kind)
	}
	return fmt.Errorf("%s: %w (%w)", c.host, kind, c.cause)
}

// keepAlive asks a silent host whether it is there, and closes the connection
// when it has been silent for too long. Whatever arrives is a sign of life.
func (c *connection) keepAlive() {
	ticker := time.NewTicker(c.cfg.KeepAlive)
	defer ticker.Stop()
	idle := make(chan struct{}, 1) // holds a token unless a question is unanswered
	idle <- struct{}{}
	received, silent := c.wire.received.Load(), 0
	for {
		select {
		case <-c.done:
			return
		case <-ticker.C:
		}
		if now := c.wire.received.Load(); now != received {
			received, silent = now, 0
		} else if silent++; silent > c.cfg.KeepAliveMax {
			c.setCause(fmt.Errorf("no answer for %s", time.Duration(silent)*c.cfg.KeepAlive))
			c.wire.Close()
			return
		}
		select {
		case <-idle:
			go func() { // sending blocks too where a dead line's buffer is full
				c.client.SendRequest("keepalive@openssh.com", true, nil)
				idle <- struct{}{}
			}()
		default:
		}
	}
}
