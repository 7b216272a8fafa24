package ssh

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// proxy is a ProxyCommand whose input and output are the connection.
type proxy struct {
	in, out *os.File // ours: what we write and what we read
	cmd     *exec.Cmd
	said    *lockedTail
	ended   chan struct{}
	once    sync.Once
}

// proxyGrace is how long a ProxyCommand may take to end when it is asked to.
const proxyGrace = 2 * time.Second

// startProxy runs a ProxyCommand as OpenSSH does: by the person's shell.
func startProxy(cfg Config, command string) (*proxy, error) {
	shell := cfg.getenv("SHELL")
	if !filepath.IsAbs(shell) {
		shell = "/bin/sh"
	}
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		theirIn.Close()
		in.Close()
		return nil, err
	}
	p := &proxy{in: in, out: out, said: &lockedTail{}, ended: make(chan struct{})}
	p.cmd = exec.Command(shell, "-c", "exec "+command)
	p.cmd.Env = append([]string{}, cfg.Env...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = theirIn, theirOut, p.said
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C at the terminal is for us
	p.cmd.WaitDelay = proxyGrace
	err = p.cmd.Start()
	theirIn.Close()
	theirOut.Close()
	if err != nil {
		in.Close()
		out.Close()
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (p *proxy) Read(b []byte) (int, error)  { return p.out.Read(b) }
func (p *proxy) Write(b []byte) (int, error) { return p.in.Write(b) }

// Close ends the connection at once, and the command with all that it started
// a little later, if it does not end by itself.
func (p *proxy) Close() error {
	p.once.Do(func() {
		p.in.Close()
		p.out.Close()
		go func() {
			group := -p.cmd.Process.Pid
			_ = syscall.Kill(group, syscall.SIGHUP)
			select {
			case <-p.ended:
			case <-time.After(proxyGrace):
			}
			_ = syscall.Kill(group, syscall.SIGKILL)
		}()
	})
	return nil
}

// reason is what the command said before it ended.
func (p *proxy) reason() string {
	select {
	case <-p.ended:
	case <-time.After(100 * time.Millisecond): // its end is told after that of its output
	}
	return p.said.String()
}

func (p *proxy) LocalAddr() net.Addr  { return proxyAddr{} }
func (p *proxy) RemoteAddr() net.Addr { return proxyAddr{} }

func (p *proxy) SetDeadline(t time.Time) error {
	_ = p.in.SetDeadline(t)
	return p.out.SetDeadline(t)
}
func (p *proxy) SetReadDeadline(t time.Time) error  { return p.out.SetDeadline(t) }
func (p *proxy) SetWriteDeadline(t time.Time) error { return p.in.SetDeadline(t) }

type proxyAddr struct{}

func (proxyAddr) Network() string { return "proxy" }
func (proxyAddr) String() string  { return "ProxyCommand" }

// lockedTail is a tail that is read while it is written to.
type lockedTail struct {
	mu   sync.Mutex
	tail tail
}

func (t *lockedTail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tail.Write(p)
}

func (t *lockedTail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tail.String()
}

// proxyError adds what a ProxyCommand said to an error.
func proxyError(ctx context.Context, raw net.Conn, err error) error {
	p, ok := raw.(*proxy)
	if !ok || ctx.Err() != nil {
		return err
	}
	if said := p.reason(); said != "" {
		return fmt.Errorf("%w; its ProxyCommand said: %s", err, said)
	}
	return err
}
