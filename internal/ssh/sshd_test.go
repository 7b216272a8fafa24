package ssh

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// server is a real sshd on loopback with keys, configuration and a home of its own.
type server struct {
	dir  string
	port int
	cmd  *exec.Cmd
}

// Users that only the test servers know, besides root.
const (
	bashUser  = "bash-root" // root with bash as login shell
	plainUser = "somebody"  // not root
)

// newServer starts an sshd; options go before the rest of its configuration.
func newServer(t testing.TB, options ...string) *server {
	t.Helper()
	sshd, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil || os.Getuid() != 0 {
		t.Fatal("a real sshd, as root, is needed: run .ci/setup")
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	s := &server{dir: t.TempDir()}
	for _, name := range []string{"host", "user"} {
		keygen(t, s.path(name))
	}
	s.write(t, "authorized_keys", s.read(t, "user.pub"), 0o644)
	// Users of its own: the login shell of the machine's root may run anything
	// at its start, which takes time and may not bear to be killed.
	s.write(t, "passwd", "root:x:0:0::"+s.dir+":/bin/sh\n"+bashUser+":x:0:0::"+s.dir+":/bin/bash\n"+
		"sshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n"+plainUser+":x:65531:65531::/:/bin/sh\n", 0o644)
	if err := os.Chmod(filepath.Dir(s.dir), 0o755); err != nil { // plainUser's keys are read as plainUser
		t.Fatal(err)
	}
	log, err := os.Create(s.path("log")) // a file, which orphans may hold open
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.write(t, "sshd_config", strings.Join(append(options, // the first setting counts
		"HostKey "+s.path("host"),
		"AuthorizedKeysFile "+s.path("authorized_keys"),
		"StrictModes no", "UsePAM no", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
		"PermitRootLogin yes", "PidFile "+s.path("pid"), "UseDNS no", "PrintMotd no", "PrintLastLog no", "LogLevel ERROR"), "\n")+"\n", 0o600)

	// A port that is free now may be taken the next moment, by another server of
	// these tests: try again. The file is written when sshd has its port.
	for range 5 {
		s.port = freePort(t)
		s.cmd = exec.Command("unshare", "--mount", "sh", "-c", `mount --bind "$1" /etc/passwd; shift; exec "$@"`, "sh", s.path("passwd"),
			sshd, "-D", "-e", "-f", s.path("sshd_config"), "-o", "ListenAddress="+s.address())
		s.cmd.Stderr = log
		if err := s.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		gone := make(chan error, 1)
		go func() { gone <- s.cmd.Wait() }()
		for {
			if _, err := os.Stat(s.path("pid")); err == nil {
				t.Cleanup(func() {
					s.kill()
					<-gone
				})
				s.known(t, s.address())
				return s
			}
			select {
			case <-gone:
			case <-time.After(5 * time.Millisecond):
				continue
			}
			break
		}
	}
	t.Fatalf("sshd does not start: %s", s.read(t, "log"))
	return nil
}

func (s *server) path(name string) string { return filepath.Join(s.dir, name) }
func (s *server) address() string         { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

func (s *server) read(t testing.TB, name string) string {
	t.Helper()
	content, err := os.ReadFile(s.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func (s *server) write(t testing.TB, name, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(s.path(name), []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// known makes known_hosts vouch for the server under these names.
func (s *server) known(t testing.TB, names ...string) {
	t.Helper()
	s.write(t, "known_hosts", knownhosts.Line(names, publicKey(t, s.read(t, "host.pub")))+"\n", 0o600)
}

// config is how a client reaches the server; options go before the rest of
// its OpenSSH configuration.
func (s *server) config(t testing.TB, options ...string) Config {
	t.Helper()
	s.write(t, "ssh_config", strings.Join(append(options,
		"UserKnownHostsFile "+s.path("known_hosts"), "GlobalKnownHostsFile none", "IdentityFile "+s.path("user")), "\n")+"\n", 0o600)
	return Config{
		Target: Target{User: "root", Host: "127.0.0.1", Port: s.port},
		Env:    []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "USER=root"},
		File:   s.path("ssh_config"),
	}
}

func (s *server) dial(t testing.TB) *Conn {
	t.Helper()
	return dial(t, s.config(t))
}

// kill ends the server with all its connections, at once.
func (s *server) kill() { s.signal(syscall.SIGKILL) }

// signal sends a signal to the server and all that it started.
func (s *server) signal(signal syscall.Signal) {
	pids := []int{s.cmd.Process.Pid}
	for i := 0; i < len(pids); i++ {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pids[i], pids[i]))
		for _, child := range strings.Fields(string(children)) {
			if pid, err := strconv.Atoi(child); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, signal)
	}
}

func dial(t testing.TB, cfg Config) *Conn {
	t.Helper()
	conn, err := Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func keygen(t testing.TB, path string, args ...string) {
	t.Helper()
	args = append([]string{"-q", "-t", "ed25519", "-N", "", "-C", filepath.Base(path), "-f", path}, args...)
	if out, err := exec.Command("ssh-keygen", args...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s; run .ci/setup", err, out)
	}
}

func publicKey(t testing.TB, line string) ssh.PublicKey {
	t.Helper()
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// link is a wire between client and server that can be cut without either
// side being told.
type link struct {
	port  int
	mu    sync.Mutex
	dead  bool
	conns []net.Conn
	count int // of connections so far
}

func newLink(t testing.TB, to string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	context.AfterFunc(ctx, func() { listener.Close() })
	l := &link{port: listener.Addr().(*net.TCPAddr).Port}
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			context.AfterFunc(ctx, func() { near.Close(); far.Close() })
			l.mu.Lock()
			l.conns = append(l.conns, near, far)
			l.count++
			l.mu.Unlock()
			go l.carry(far, near)
			go l.carry(near, far)
		}
	}()
	return l
}

func (l *link) carry(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		l.mu.Lock()
		dead := l.dead
		l.mu.Unlock()
		if dead {
			_, _ = io.Copy(io.Discard, from)
			return
		}
		if _, failed := to.Write(buffer[:n]); failed != nil || err != nil {
			to.Close()
			return
		}
	}
}

func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = true
}

// mend lets new connections through again.
func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = false
}

// hangUp ends the connections that there are.
func (l *link) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

func (l *link) connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}
