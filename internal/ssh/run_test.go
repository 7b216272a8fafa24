package ssh

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	conn := s.dial(t)

	t.Run("arguments", func(t *testing.T) {
		checkArguments(t, conn)
		cfg := s.config(t)
		cfg.Target.User = bashUser
		checkArguments(t, dial(t, cfg))
	})
	t.Run("output loses only its final newlines", func(t *testing.T) {
		got, err := conn.Output(t.Context(), "printf", `\n a \n\n`)
		if err != nil || got != "\n a " {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("bytes through stdin and stdout", func(t *testing.T) {
		sent := make([]byte, 5<<20) // several windows of the channel
		rand.Read(sent)
		var got bytes.Buffer
		if err := conn.Run(t.Context(), Command{Args: []string{"cat"}, Stdin: bytes.NewReader(sent), Stdout: &got}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(sent, got.Bytes()) {
			t.Errorf("%d bytes sent and other %d received", len(sent), got.Len())
		}
	})
	t.Run("no stdin is an empty one", func(t *testing.T) {
		if got, err := conn.Output(t.Context(), "cat"); got != "" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("big output to both sides", func(t *testing.T) {
		var out, errs bytes.Buffer
		err := conn.Run(t.Context(), Command{
			Args:   []string{"sh", "-c", "head -c 20000000 /dev/zero & head -c 3000000 /dev/zero >&2; wait"},
			Stdout: &out, Stderr: &errs,
		})
		if err != nil || out.Len() != 20000000 || errs.Len() != 3000000 {
			t.Errorf("%d and %d bytes, %v", out.Len(), errs.Len(), err)
		}
	})
	t.Run("a command that does not read its input", func(t *testing.T) {
		endless, writer := io.Pipe()
		defer writer.Close()
		if err := conn.Run(t.Context(), Command{Args: []string{"true"}, Stdin: endless}); err != nil {
			t.Error(err)
		}
	})
	t.Run("input that cannot be read", func(t *testing.T) {
		boom := errors.New("boom")
		err := conn.Run(t.Context(), Command{Args: []string{"cat"}, Stdin: io.MultiReader(strings.NewReader("half"), failing{boom})})
		if !errors.Is(err, boom) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("output that cannot be written", func(t *testing.T) {
		boom := errors.New("boom")
		err := conn.Run(t.Context(), Command{Args: []string{"head", "-c", "20000000", "/dev/zero"}, Stdout: failing{boom}})
		if !errors.Is(err, boom) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("output without end", func(t *testing.T) {
		if _, err := conn.Output(t.Context(), "cat", "/dev/zero"); err == nil || !strings.Contains(err.Error(), "too much") {
			t.Errorf("got %v", err)
		}
	})
	for name, args := range map[string][]string{
		"nothing":         {},
		"an empty name":   {""},
		"NUL in argument": {"echo", "a\x00b"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			if err := conn.Run(t.Context(), Command{Args: args}); err == nil {
				t.Error("it ran")
			}
		})
	}
}

func checkArguments(t *testing.T, conn *Conn) {
	t.Helper()
	args := []string{"printf", "[%s]", "", "a b", "it's", `back\slash`, "$HOME `id` !x", "*", "~", "two\nlines", "tab\t", "ü→", "-n", "\xff\xfe", `\'`, "--", "#", "if"}
	got, err := conn.Output(t.Context(), args...)
	want := "[" + strings.Join(args[2:], "][") + "]"
	if err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestExit(t *testing.T) {
	t.Parallel()
	conn := newServer(t).dial(t)
	tests := []struct {
		script string
		want   ExitError
	}{
		{"exit 3", ExitError{Code: 3}},
		{"exit 255", ExitError{Code: 255}},
		{"echo one >&2; echo two >&2; exit 1", ExitError{Code: 1, Stderr: "one\ntwo"}},
		{"kill -TERM $$", ExitError{Code: 143, Signal: "TERM"}},
		{"kill -KILL $$", ExitError{Code: 137, Signal: "KILL"}},
		{`printf 'a\377b' >&2; exit 1`, ExitError{Code: 1, Stderr: "a�b"}},
	}
	for _, test := range tests {
		t.Run(test.script, func(t *testing.T) {
			_, err := conn.Output(t.Context(), "sh", "-c", test.script)
			var got *ExitError
			if !errors.As(err, &got) {
				t.Fatalf("got %v", err)
			}
			if got.Code != test.want.Code || got.Signal != test.want.Signal || got.Stderr != test.want.Stderr || got.Host != "127.0.0.1" {
				t.Errorf("got %+v, want %+v", *got, test.want)
			}
			if errors.Is(err, ErrConnectionLost) {
				t.Error("the outcome is known")
			}
		})
	}
	t.Run("only the end of stderr is kept", func(t *testing.T) {
		_, err := conn.Output(t.Context(), "sh", "-c", "seq 1 100000 >&2; exit 1")
		var got *ExitError
		if !errors.As(err, &got) || len(got.Stderr) > tailSize || !strings.HasSuffix(got.Stderr, "\n100000") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("message", func(t *testing.T) {
		_, err := conn.Output(t.Context(), "sh", "-c", "echo no room >&2; exit 4")
		want := "`sh -c echo no room >&2; exit 4` on 127.0.0.1 exited with status 4: no room"
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
	t.Run("unknown program", func(t *testing.T) {
		_, err := conn.Output(t.Context(), "no-such-program")
		var got *ExitError
		if !errors.As(err, &got) || got.Code != 127 {
			t.Errorf("got %v", err)
		}
	})
}

func TestCancel(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	cfg := s.config(t)
	cfg.Target.User = plainUser // OpenSSH passes signals on, except for root
	conn := dial(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	start := time.Now()
	var out notify
	out.seen = cancel
	err := conn.Run(ctx, Command{Args: []string{"sh", "-c", "echo $$; exec sleep 60"}, Stdout: &out})
	if !errors.Is(err, context.Canceled) || time.Since(start) > 5*time.Second {
		t.Errorf("got %v after %s", err, time.Since(start))
	}
	waitFor(t, "the command gets SIGTERM", func() bool {
		_, err := os.Stat("/proc/" + strings.TrimSpace(out.first))
		return errors.Is(err, os.ErrNotExist)
	})
	if got, err := conn.Output(t.Context(), "echo", "still", "here"); got != "still here" || err != nil {
		t.Errorf("the connection does not go on: %q, %v", got, err)
	}
	t.Run("with all that it has started", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var both atomic.Int32 // come over channels of their own
		seen := func() {
			if both.Add(1) == 2 {
				cancel()
			}
		}
		started, warned := &notify{seen: seen}, &notify{seen: seen}
		err := conn.Run(ctx, Command{Kill: true, Args: []string{"sh", "-c", "echo warning >&2; sleep 600 & echo $!; trap : TERM; wait; wait"}, Stdout: started, Stderr: warned})
		if !errors.Is(err, context.Canceled) || strings.TrimSpace(warned.first) != "warning" {
			t.Errorf("got %v; it said %q", err, warned.first)
		}
		waitFor(t, "its child is killed", func() bool {
			_, err := os.Stat("/proc/" + strings.TrimSpace(started.first))
			return errors.Is(err, os.ErrNotExist)
		})
	})
	t.Run("before it began", func(t *testing.T) {
		if _, err := conn.Output(ctx, "true"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestConnectionLost(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, conn *Conn, cut func(), reason string) {
		t.Helper()
		start := time.Now()
		err := conn.Run(t.Context(), untilCut(t, cut))
		var exit *ExitError
		if !errors.Is(err, ErrConnectionLost) || errors.As(err, &exit) || !strings.Contains(err.Error(), reason) {
			t.Errorf("got %v, want %q in it", err, reason)
		}
		if time.Since(start) > 5*time.Second {
			t.Errorf("it took %s", time.Since(start))
		}
		if _, err = conn.Output(t.Context(), "true"); !errors.Is(err, ErrClosed) || errors.Is(err, ErrConnectionLost) {
			t.Errorf("afterwards: %v", err)
		}
	}
	t.Run("server killed", func(t *testing.T) {
		s := newServer(t)
		check(t, s.dial(t), s.kill, "the other side closed it")
	})
	t.Run("closed here", func(t *testing.T) {
		conn := newServer(t).dial(t)
		check(t, conn, func() { go conn.Close() }, "it was closed here")
	})
	t.Run("line dead", func(t *testing.T) {
		s := newServer(t)
		wire := newLink(t, s.address())
		s.known(t, fmt.Sprintf("127.0.0.1:%d", wire.port))
		cfg := s.config(t)
		cfg.Target.Port, cfg.KeepAlive, cfg.KeepAliveMax = wire.port, 100*time.Millisecond, 9
		check(t, dial(t, cfg), wire.cut, "no answer for 1s")
	})
	t.Run("the host hangs", func(t *testing.T) { // its kernel still takes what is sent
		s := newServer(t)
		cfg := s.config(t)
		cfg.KeepAlive, cfg.KeepAliveMax = 100*time.Millisecond, 9
		check(t, dial(t, cfg), func() { s.signal(syscall.SIGSTOP) }, "no answer for 1s")
	})
	t.Run("the host hangs, and the store with it", func(t *testing.T) {
		s := newServer(t)
		s.write(t, "cat", "#!/bin/sh\nexec cat\n", 0o755)
		cfg := s.config(t)
		cfg.KeepAlive, cfg.KeepAliveMax = 100*time.Millisecond, 9
		tunnel := open(t, dial(t, cfg), s.path("cat"))
		local := connect(t, tunnel)
		exchange(t, local, "hello")
		s.signal(syscall.SIGSTOP)
		if _, err := io.ReadAll(local); err != nil {
			t.Error(err)
		}
		if err := tunnel.Err(time.Time{}); !errors.Is(err, ErrConnectionLost) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("line dead before the start", func(t *testing.T) {
		s := newServer(t)
		wire := newLink(t, s.address())
		s.known(t, fmt.Sprintf("127.0.0.1:%d", wire.port))
		cfg := s.config(t)
		cfg.Target.Port, cfg.SessionTimeout = wire.port, 200*time.Millisecond
		conn := dial(t, cfg)
		wire.cut()
		_, err := conn.Output(t.Context(), "true")
		if !errors.Is(err, ErrTimeout) || errors.Is(err, ErrConnectionLost) {
			t.Errorf("got %v", err)
		}
	})
}

func TestKeepAlive(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	cfg := s.config(t)
	cfg.KeepAlive, cfg.KeepAliveMax = 250*time.Millisecond, 3
	conn := dial(t, cfg)
	if got, err := conn.Output(t.Context(), "sh", "-c", "sleep 2; echo done"); got != "done" || err != nil {
		t.Errorf("a healthy idle connection: %q, %v", got, err)
	}
}

// The keys are exchanged anew every megabyte: the host key is checked again
// and the deadline of the handshake must not come back.
func TestRekey(t *testing.T) {
	t.Parallel()
	conn := newServer(t, "RekeyLimit 1M").dial(t)
	sum := sha256.New()
	if err := conn.Run(t.Context(), Command{Args: []string{"head", "-c", "10000000", "/dev/zero"}, Stdout: sum}); err != nil {
		t.Fatal(err)
	}
	if want := sha256.Sum256(make([]byte, 10000000)); !bytes.Equal(sum.Sum(nil), want[:]) {
		t.Error("other bytes")
	}
}

func TestManySessions(t *testing.T) {
	t.Parallel()
	conn := newServer(t).dial(t) // MaxSessions is 10
	dir := t.TempDir()
	var wait sync.WaitGroup
	var failed atomic.Int64
	for i := range 24 {
		wait.Go(func() {
			got, err := conn.Output(t.Context(), "sh", "-c", `touch "$0/$1"; ls "$0" | wc -l; sleep 0.3; rm "$0/$1"`, dir, fmt.Sprint(i))
			if err != nil {
				failed.Add(1)
				t.Error(err)
			}
			var running int
			if fmt.Sscan(got, &running); running > maxSessions {
				t.Errorf("%d run at once", running)
			}
		})
	}
	wait.Wait()

	t.Run("waiting for a slot ends with the context", func(t *testing.T) {
		busy, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for range maxSessions {
			running.Add(1)
			go conn.Run(busy, untilCut(t, running.Done))
		}
		running.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := conn.Output(ctx, "true"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		stop()
		if _, err := conn.Output(t.Context(), "true"); err != nil {
			t.Errorf("the slots do not come back: %v", err)
		}
	})
	t.Run("refused by the host", func(t *testing.T) {
		conn := newServer(t, "MaxSessions 0").dial(t)
		if _, err := conn.Output(t.Context(), "true"); err == nil || !strings.Contains(err.Error(), "MaxSessions") {
			t.Errorf("got %v", err)
		}
	})
}

// A command finds a session that was opened ahead, or opens one where that was
// refused or has become old.
func TestSpareSession(t *testing.T) {
	t.Parallel()
	succeed := func(t *testing.T, conn *Conn) {
		t.Helper()
		if _, err := conn.Output(t.Context(), "true"); err != nil {
			t.Error(err)
		}
	}
	opened := func(conn *Conn) *spare {
		for conn.spare.Load() == nil {
			time.Sleep(time.Millisecond)
		}
		s := conn.spare.Load()
		<-s.opened
		return s
	}
	t.Run("used", func(t *testing.T) {
		conn := newServer(t).dial(t)
		succeed(t, conn)
		ahead := opened(conn)
		succeed(t, conn)
		if err := ahead.session.Start("true"); err == nil || !strings.Contains(err.Error(), "already started") {
			t.Errorf("the session that was opened ahead was not used: %v", err)
		}
	})
	t.Run("old", func(t *testing.T) {
		conn := newServer(t).dial(t)
		succeed(t, conn)
		ahead := opened(conn)
		ahead.since = ahead.since.Add(-spareAge)
		ahead.session.Close() // as the host may do
		succeed(t, conn)
	})
	t.Run("refused", func(t *testing.T) {
		conn := newServer(t, "MaxSessions 1").dial(t)
		for range 5 {
			succeed(t, conn)
		}
	})
}

// untilCut is a command that calls ready and goes on until its connection ends.
func untilCut(t *testing.T, ready func()) Command {
	stdin, writer := io.Pipe()
	t.Cleanup(func() { writer.Close() })
	return Command{Args: []string{"sh", "-c", "echo ready; exec cat"}, Stdin: stdin, Stdout: &notify{seen: ready}}
}

// notify calls seen at the first thing that is written.
type notify struct {
	once  sync.Once
	seen  func()
	first string
}

func (n *notify) Write(p []byte) (int, error) {
	n.once.Do(func() {
		n.first = string(p)
		n.seen()
	})
	return len(p), nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in time: " + what)
		}
	}
}
