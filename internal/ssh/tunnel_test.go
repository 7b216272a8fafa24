package ssh

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// nix runs the project's Nix with the project's settings.
func nix(t testing.TB, args ...string) (string, error) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(root, ".cache/bin/nix")
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v: run .ci/setup", err)
	}
	var out, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), "NIX_CONF_DIR="+filepath.Join(root, ".ci/nix"), "XDG_CACHE_HOME="+t.TempDir())
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err = cmd.Run()
	return strings.TrimSpace(out.String()) + stderr.String(), err
}

func mustNix(t testing.TB, args ...string) string {
	t.Helper()
	out, err := nix(t, args...)
	if err != nil {
		t.Fatalf("nix %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// daemon writes a program that is nix-daemon with a store of its own.
func (s *server) daemon(t testing.TB, name, store string) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, name, "#!/bin/sh\nNIX_CONF_DIR='"+root+"/.ci/nix' NIX_REMOTE='"+store+"' exec '"+root+"/.cache/bin/nix-daemon' \"$@\"\n", 0o755)
	return s.path(name)
}

func open(t testing.TB, conn *Conn, program string) *Tunnel {
	t.Helper()
	tunnel, err := conn.NixDaemon(t.Context(), program, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tunnel.Close() })
	return tunnel
}

func TestNixCopy(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	conn := s.dial(t)
	here, there := "local?root="+s.path("here"), "local?root="+s.path("there")
	source := s.path("source")
	if err := os.MkdirAll(source+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	s.write(t, "source/sub/file", strings.Repeat("content ", 300000), 0o644)
	path := mustNix(t, "store", "add", "--store", here, source)

	tunnel := open(t, conn, s.daemon(t, "daemon", there))
	mustNix(t, "copy", "--no-check-sigs", "--from", here, "--to", tunnel.StoreURI(), path)
	if got := mustNix(t, "path-info", "--store", there, path); got != path {
		t.Errorf("arrived is %q, want %q", got, path)
	}
	if got := mustNix(t, "path-info", "--store", tunnel.StoreURI(), path); got != path {
		t.Errorf("through the tunnel: %q", got)
	}
	if got := mustNix(t, "store", "cat", "--store", there, path+"/sub/file"); len(got) != 2400000-1 {
		t.Errorf("the file has %d bytes", len(got))
	}
	if tunnel.BytesSent() < 2400000 {
		t.Errorf("%d bytes were counted", tunnel.BytesSent())
	}
	if err := tunnel.Err(time.Time{}); err != nil {
		t.Error(err)
	}

	socket := strings.TrimPrefix(tunnel.StoreURI(), "unix://")
	if info, err := os.Stat(filepath.Dir(socket)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the socket's folder: %v, %v", info.Mode(), err)
	}
	if err := tunnel.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Dir(socket)); !os.IsNotExist(err) {
		t.Errorf("the socket's folder is left: %v", err)
	}
}

// A daemon that is started and says nothing ends what waits for it, in time.
func TestNixDaemonIsSilent(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	conn := s.dial(t)
	s.write(t, "silent", "#!/bin/sh\nexec sleep 600\n", 0o755)
	tunnel, err := conn.NixDaemon(t.Context(), s.path("silent"), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer tunnel.Close()
	if out, err := nix(t, "path-info", "--store", tunnel.StoreURI(), "/nix/store/0c0v9m1cz1xxd1rvvc1s6b8yjpi0kb3i-none"); err == nil {
		t.Errorf("it answers: %s", out)
	}
	if err := tunnel.Err(time.Time{}); !errors.Is(err, ErrSilent) || !strings.Contains(err.Error(), "within 1s") {
		t.Errorf("%v", err)
	}
}

func TestNixDaemonIsFound(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	s := newServer(t, "SetEnv PATH=/usr/bin:/bin:"+bin)
	conn := s.dial(t)
	_, err := conn.NixDaemon(t.Context(), "", time.Minute)
	if err == nil || !strings.Contains(err.Error(), "look for nix-daemon on 127.0.0.1 exited with status 127: no nix-daemon in its PATH (/usr/bin:/bin:"+bin+")") {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(bin+"/nix-daemon", []byte("#!/bin/sh\nexec cat\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	exchange(t, connect(t, open(t, conn, "")), "hello")

	// A login shell that greets.
	s.write(t, ".bashrc", "echo Welcome\necho to this host\n", 0o644)
	cfg := s.config(t)
	cfg.Target.User = bashUser
	greeting := dial(t, cfg)
	if got, err := greeting.Output(t.Context(), "true"); got != "Welcome\nto this host" || err != nil {
		t.Fatalf("it does not greet: %q, %v", got, err)
	}
	tunnel := open(t, greeting, "")
	if tunnel.program != bin+"/nix-daemon" {
		t.Errorf("found %q", tunnel.program)
	}
	if root, err := greeting.AsRoot(t.Context()); err != nil || len(root.as.command) != 0 {
		t.Errorf("root under another name: %v", err)
	}
}

func TestTunnelErrors(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	conn := s.dial(t)
	s.write(t, "denied", "#!/bin/sh\n", 0o644)
	s.write(t, "fails", "#!/bin/sh\necho 'error: the store is read-only' >&2; exit 1\n", 0o755)
	for program, says := range map[string]string{
		"no-such-daemon":  "`no-such-daemon --stdio` on 127.0.0.1 exited with status 127: ",
		s.path("denied"):  "ermission denied",
		s.path("fails"):   "error: the store is read-only",
		"/no/such/daemon": "not found",
	} {
		tunnel := open(t, conn, program)
		if out, err := nix(t, "store", "ping", "--store", tunnel.StoreURI()); err == nil {
			t.Errorf("%s: %s", program, out)
		}
		if err := tunnel.Err(time.Time{}); err == nil || !strings.Contains(err.Error(), says) { // it is there by the time that nix ends
			t.Errorf("%s: got %v, want %q in it", program, err, says)
		}
	}
	t.Run("connection lost", func(t *testing.T) {
		s := newServer(t)
		s.write(t, "cat", "#!/bin/sh\nexec cat\n", 0o755)
		tunnel := open(t, s.dial(t), s.path("cat"))
		local := connect(t, tunnel)
		exchange(t, local, "hello")
		s.kill()
		if _, err := io.ReadAll(local); err != nil {
			t.Error(err)
		}
		if err := tunnel.Err(time.Time{}); err == nil || !strings.Contains(err.Error(), "the other side closed it") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("one after the other", func(t *testing.T) {
		s := newServer(t)
		s.write(t, "once", "#!/bin/sh\nmkdir "+s.path("begun")+" || exec cat\necho 'No space left on device' >&2; exit 1\n", 0o755)
		tunnel := open(t, s.dial(t), s.path("once"))
		if _, err := io.ReadAll(connect(t, tunnel)); err != nil {
			t.Error(err)
		}
		if err := tunnel.Err(time.Time{}); err == nil || !strings.Contains(err.Error(), "No space left") {
			t.Errorf("got %v", err)
		}
		since := time.Now()
		local := connect(t, tunnel)
		exchange(t, local, "hello")
		if err := tunnel.Err(since); err != nil {
			t.Errorf("of what was before: %v", err)
		}
		s.kill()
		if _, err := io.ReadAll(local); err != nil {
			t.Error(err)
		}
		for _, since := range []time.Time{{}, since} {
			if err := tunnel.Err(since); !errors.Is(err, ErrConnectionLost) {
				t.Errorf("since %s: got %v", since, err)
			}
		}
	})
	t.Run("connection closed", func(t *testing.T) {
		conn := newServer(t).dial(t)
		tunnel := open(t, conn, "cat")
		conn.Close()
		if _, err := io.ReadAll(connect(t, tunnel)); err != nil {
			t.Error(err)
		}
		waitFor(t, "the error", func() bool { return tunnel.Err(time.Time{}) != nil })
	})
}

func TestTunnelStream(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.write(t, "cat", "#!/bin/sh\nexec cat\n", 0o755)
	s.write(t, "endless", "#!/bin/sh\necho $$ >>"+s.path("pids")+"\nexec cat /dev/zero\n", 0o755)
	conn := s.dial(t)

	t.Run("half-closed, it still receives", func(t *testing.T) {
		tunnel := open(t, conn, s.path("cat"))
		local := connect(t, tunnel)
		sent := bytes.Repeat([]byte("0123456789abcdef"), 200000)
		go func() {
			local.Write(sent)
			local.CloseWrite()
		}()
		got, err := io.ReadAll(local)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d of %d bytes, %v", len(got), len(sent), err)
		}
		if tunnel.BytesSent() != int64(len(sent)) || tunnel.Err(time.Time{}) != nil {
			t.Errorf("%d bytes, %v", tunnel.BytesSent(), tunnel.Err(time.Time{}))
		}
	})
	t.Run("many at once", func(t *testing.T) {
		tunnel := open(t, conn, s.path("cat"))
		for range 2 * maxSessions {
			local := connect(t, tunnel)
			go func() {
				local.Write([]byte("x"))
				local.CloseWrite()
			}()
			defer func() {
				if got, err := io.ReadAll(local); string(got) != "x" || err != nil {
					t.Errorf("got %q, %v; %v", got, err, tunnel.Err(time.Time{}))
				}
			}()
		}
	})
	t.Run("the local program goes away", func(t *testing.T) {
		tunnel := open(t, conn, s.path("endless"))
		local := connect(t, tunnel)
		io.ReadFull(local, make([]byte, 1000))
		local.Close()
		waitFor(t, "the daemon ends", func() bool {
			pid := strings.TrimSpace(s.read(t, "pids"))
			_, err := os.Stat("/proc/" + pid)
			return pid != "" && os.IsNotExist(err)
		})
		if err := tunnel.Err(time.Time{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("closed while in use", func(t *testing.T) {
		tunnel := open(t, conn, s.path("endless"))
		local := connect(t, tunnel)
		io.ReadFull(local, make([]byte, 1000))
		start := time.Now()
		if err := tunnel.Close(); err != nil || time.Since(start) > 2*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		io.Copy(io.Discard, local)
		if err := tunnel.Err(time.Time{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("a daemon that hangs", func(t *testing.T) {
		s.write(t, "hangs", "#!/bin/sh\necho it starts >&2; echo $$; exec sleep 600\n", 0o755)
		tunnel := open(t, conn, s.path("hangs"))
		pid, err := bufio.NewReader(connect(t, tunnel)).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if err := tunnel.Close(); err != nil {
			t.Error(err)
		}
		waitFor(t, "the daemon is killed", func() bool {
			_, err := os.Stat("/proc/" + strings.TrimSpace(pid))
			return os.IsNotExist(err)
		})
	})
	t.Run("opening is bounded by the context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := conn.NixDaemon(ctx, "", time.Minute); err == nil {
			t.Error("it opened")
		}
	})
}

func TestSocketDir(t *testing.T) {
	t.Parallel()
	long := filepath.Join(t.TempDir(), strings.Repeat("long", 20))
	for tmp, want := range map[string]string{"": "/tmp", "relative": "/tmp", long: "/tmp", "/var/tmp": "/var/tmp"} {
		dir, err := new(Dialer).socketDir(tmp)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Dir(dir.path) != want || len(dir.socket()) >= 104 {
			t.Errorf("%q: %s", tmp, dir.path)
		}
		if info, err := os.Stat(dir.path); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", dir.path, info, err)
		}
		if err := dir.remove(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(dir.path); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", dir.path, err)
		}
	}
	if _, err := new(Dialer).socketDir("/proc"); err == nil {
		t.Error("a folder was made in /proc")
	}
}

// A process that is killed leaves its socket to the next one, and only its own.
func TestLeftSockets(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	if dir := os.Getenv("FLEET_TEST_LEAVE_SOCKET"); dir != "" {
		socket, err := new(Dialer).socketDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := net.Listen("unix", socket.socket()); err != nil {
			t.Fatal(err)
		}
		process, _ := os.FindProcess(os.Getpid())
		process.Kill()
		select {}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestLeftSockets$")
	cmd.Env = append(os.Environ(), "FLEET_TEST_LEAVE_SOCKET="+tmp)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("%v: %s", err, out)
	}
	left, err := filepath.Glob(tmp + "/fleet-nix-*/nix")
	if err != nil || len(left) != 1 {
		t.Fatalf("left are %v, %v", left, err)
	}
	// Beside it: one in use, one with something else in it, a file, a link and
	// one of somebody else.
	used, err := new(Dialer).socketDir(filepath.Join(tmp, "elsewhere", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(left[0])); !os.IsNotExist(err) {
		t.Errorf("the left socket stays: %v", err)
	}
	kept := []string{used.path}
	for _, name := range []string{"full", "other", "target"} {
		dir := filepath.Join(tmp, "fleet-nix-"+name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, dir)
	}
	os.WriteFile(tmp+"/fleet-nix-full/nix", []byte("a file"), 0o600)
	os.Chown(tmp+"/fleet-nix-other", 65534, 65534)
	os.WriteFile(tmp+"/fleet-nix-file", nil, 0o600)
	os.Rename(tmp+"/fleet-nix-target", tmp+"/target")
	os.Symlink(tmp+"/target", tmp+"/fleet-nix-target")
	kept = append(kept, tmp+"/fleet-nix-file", tmp+"/target", tmp+"/fleet-nix-full/nix")
	removeLeftSockets(tmp)
	for _, path := range kept {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if err := used.remove(); err != nil {
		t.Error(err)
	}
}

func connect(t testing.TB, tunnel *Tunnel) *net.UnixConn {
	t.Helper()
	local, err := net.Dial("unix", strings.TrimPrefix(tunnel.StoreURI(), "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { local.Close() })
	local.SetDeadline(time.Now().Add(20 * time.Second))
	return local.(*net.UnixConn)
}

func exchange(t testing.TB, local net.Conn, text string) {
	t.Helper()
	local.Write([]byte(text))
	got := make([]byte, len(text))
	if _, err := io.ReadFull(local, got); err != nil || string(got) != text {
		t.Fatalf("got %q, %v", got, err)
	}
}
