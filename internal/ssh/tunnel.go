package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// Tunnel is a host's Nix store at hand: a local socket whose every connection
// is a conversation with a Nix daemon of its own on the host.
type Tunnel struct {
	conn    *Conn
	program string
	silence time.Duration
	dir     *socketDir
	socket  net.Listener
	ctx     context.Context
	cancel  context.CancelFunc
	wait    sync.WaitGroup
	sent    atomic.Int64
	came    atomic.Int64

	mu       sync.Mutex
	failures []failure
}

// failure is what went wrong with a conversation, and when.
type failure struct {
	err error
	at  time.Time
}

// findDaemon prints the first Nix daemon that is there. The PATH of a login
// without a terminal often lacks it.
const findDaemon = `for program in "$(command -v nix-daemon)" /run/current-system/sw/bin/nix-daemon \
  /nix/var/nix/profiles/default/bin/nix-daemon "$HOME/.nix-profile/bin/nix-daemon" /etc/profiles/per-user/"$(id -un)"/bin/nix-daemon; do
  if [ -x "$program" ]; then echo "$program"; exit; fi
done
echo "no nix-daemon in its PATH ($PATH), in /run/current-system/sw/bin, /nix/var/nix/profiles/default/bin or ~/.nix-profile/bin: install Nix there" >&2
exit 127
`

// NixDaemon opens a tunnel to the host's store. The program is nix-daemon, or
// one that takes --stdio as it does; empty, it is looked for on the host. One that
// is silent for so long at first is taken to hang: [ErrSilent].
// The context bounds the opening only: the tunnel stands until Close.
func (c *Conn) NixDaemon(ctx context.Context, program string, silence time.Duration) (*Tunnel, error) {
	if program == "" {
		out, err := c.output(ctx, Command{Title: "look for nix-daemon", Args: []string{"sh", "-c", findDaemon}})
		if err != nil {
			return nil, err
		}
		program = lastLine(out)
	}
	dir, err := c.dialer.socketDir(c.cfg.getenv("TMPDIR"))
	if err != nil {
		return nil, fmt.Errorf("open the tunnel to the store of %s: %w", c.host, err)
	}
	socket, err := net.Listen("unix", dir.socket())
	if err != nil {
		return nil, fmt.Errorf("open the tunnel to the store of %s: %w", c.host, errors.Join(err, dir.remove()))
	}
	t := &Tunnel{conn: c, program: program, silence: silence, dir: dir, socket: socket}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.wait.Go(t.accept)
	return t, nil
}

// StoreURI is what Nix calls the host's store, as in nix copy --to. What is
// asked of the daemon works (queries, copying to, building), but not copying
// from: Nix takes a socket for local and reads the files from the local disk.
func (t *Tunnel) StoreURI() string { return "unix://" + t.socket.Addr().String() }

// BytesSent is how much went to the host so far.
func (t *Tunnel) BytesSent() int64 { return t.sent.Load() }

// BytesReceived is how much came from the host so far.
func (t *Tunnel) BytesReceived() int64 { return t.came.Load() }

// Err is what went wrong on the host's side since then: the loss of the connection,
// or else what was first. Nix itself knows no more than "unexpected end-of-file".
func (t *Tunnel) Err(since time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var first error
	for _, f := range t.failures {
		switch {
		case f.at.Before(since):
		case errors.Is(f.err, ErrConnectionLost), errors.Is(f.err, ErrClosed):
			return f.err
		case first == nil:
			first = f.err
		}
	}
	return first
}

// Close ends all conversations and removes the socket.
func (t *Tunnel) Close() error {
	t.cancel()
	err := t.socket.Close()
	t.wait.Wait()
	return errors.Join(err, t.dir.remove())
}

func (t *Tunnel) accept() {
	for {
		local, err := t.socket.Accept()
		if err != nil {
			if t.ctx.Err() == nil {
				t.fail(fmt.Errorf("accept at %s: %w", t.StoreURI(), err))
			}
			return
		}
		t.wait.Go(func() {
			defer local.Close()
			if err := t.serve(local.(*net.UnixConn)); err != nil && t.ctx.Err() == nil {
				t.fail(fmt.Errorf("the store of %s: %w", t.conn.host, err))
			}
		})
	}
}

func (t *Tunnel) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = append(t.failures, failure{err, time.Now()})
}

// serve joins a local connection with a daemon on the host. The local side
// sees the end only when we know how the daemon ended, so that Err has the
// reason before Nix complains.
func (t *Tunnel) serve(local *net.UnixConn) error {
	ctx, cancel := context.WithCancelCause(t.ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { local.Close() })()
	args := []string{t.program, "--stdio"}
	wrapped, prefix := t.conn.wrap(announced(args))
	line, err := commandLine(wrapped)
	if err != nil {
		return err
	}
	tail := &tail{}
	said := &announcement{next: tail}
	stderr := &gate{w: said}
	spoke := make(chan struct{})
	answer := &firstWrite{Writer: counter{local, &t.came}, happened: sync.OnceFunc(func() { close(spoke) })}
	var stdin io.WriteCloser
	s, err := t.conn.start(ctx, line, func(s *ssh.Session) (err error) {
		s.Stdout, s.Stderr = &gate{w: answer, fail: cancel}, stderr
		stdin, err = s.StdinPipe()
		return err
	})
	if err != nil {
		return err
	}
	go func() {
		if prefix != nil {
			_, _ = io.Copy(stdin, prefix)
		}
		// Ends when either side does; a half-closed connection can still receive.
		_, _ = io.Copy(counter{stdin, &t.sent}, local)
		_ = stdin.Close()
	}()
	kill := func() {
		stderr.close()
		t.conn.kill(said.process)
		s.abandon()
	}
	silent := time.NewTimer(t.silence)
	defer silent.Stop()
	select {
	case <-spoke:
	case <-silent.C:
		kill()
		return fmt.Errorf("something hangs there: %w within %s (%s)", ErrSilent, t.silence, display(args))
	case <-s.finished:
	case <-ctx.Done():
	}
	select {
	case <-s.finished:
	case <-ctx.Done(): // the tunnel is closed, or the local program has gone
		select { // the daemon's input ends as the local side does
		case <-s.finished:
		case <-time.After(daemonPatience):
			kill()
		}
		return nil
	}
	stderr.close()
	_ = said.flush()
	return t.conn.result(s.err, display(args), tail)
}

// daemonPatience is how long a daemon may take to end with its input. One that
// hangs has locks in the store.
const daemonPatience = time.Second

// firstWrite tells when something is written to it.
type firstWrite struct {
	io.Writer
	happened func()
}

func (w *firstWrite) Write(p []byte) (int, error) {
	w.happened()
	return w.Writer.Write(p)
}

// counter counts what it passes on.
type counter struct {
	io.Writer
	sum *atomic.Int64
}

func (c counter) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.sum.Add(int64(n))
	return n, err
}
