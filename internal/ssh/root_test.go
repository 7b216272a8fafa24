package ssh

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/testhost"
)

const sudoPassword = "pass 'word\\ $x"

// person answers questions and counts them.
type person struct {
	answers []string // one after another, the last one for ever
	asked   atomic.Int64
}

func (p *person) ask(_ context.Context, question string) (string, error) {
	n := int(p.asked.Add(1))
	return p.answers[min(n, len(p.answers))-1], nil
}

// lights makes light hosts whose users become root in different ways.
func lights(t *testing.T, names ...string) (*testhost.Network, []*testhost.Host) {
	t.Helper()
	n := testhost.NewNetwork(t)
	var options []testhost.Options
	for _, name := range names {
		options = append(options, testhost.Options{Name: name, Users: []testhost.User{
			{Name: "free", Sudo: "(ALL) NOPASSWD: ALL"},
			{Name: "asked", Password: sudoPassword, Sudo: "(ALL) ALL"},
			// Rules that differ by command: the password must not become input.
			{Name: "mixed", Password: sudoPassword, Sudo: "(ALL) ALL, (ALL) NOPASSWD: /usr/bin/sh, NOPASSWD: /bin/sh"},
			{Name: "denied", Password: sudoPassword},
			{Name: "doer", Doas: "nopass"},
			{Name: "askeddoer", Password: sudoPassword, Doas: " "},
		}})
	}
	return n, testhost.Lights(t, n, options...)
}

func on(n *testhost.Network, h *testhost.Host, user string) Config {
	return Config{
		Target: Target{User: user, Host: h.Name},
		Env:    []string{"PATH=" + os.Getenv("PATH"), "HOME=/nowhere", "USER=root"},
		File:   n.SSHConfig,
	}
}

func TestAsRoot(t *testing.T) {
	t.Parallel()
	n, hosts := lights(t, "cinnabar")
	h := hosts[0]
	for user, questions := range map[string]int64{"root": 0, "free": 0, "doer": 0, "asked": 1, "mixed": 1} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			me := &person{answers: []string{sudoPassword}}
			d := &Dialer{Ask: me.ask}
			conn, err := d.Dial(t.Context(), on(n, h, user))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			root, err := conn.AsRoot(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := root.Output(t.Context(), "id", "-u"); got != "0" || err != nil {
				t.Errorf("as root we are %q, %v", got, err)
			}
			if got, err := conn.Output(t.Context(), "id", "-un"); got != user || err != nil {
				t.Errorf("as ourselves we are %q, %v", got, err)
			}
			checkArguments(t, root)
			if got, err := root.Output(t.Context(), "sh", "-c", `echo "$HOME"`); got != "/root" || err != nil {
				t.Errorf("the home of root is %q, %v", got, err)
			}
			sent := make([]byte, 3<<20)
			rand.Read(sent)
			var got bytes.Buffer
			if err := root.Run(t.Context(), Command{Args: []string{"cat"}, Stdin: bytes.NewReader(sent), Stdout: &got}); err != nil || !bytes.Equal(sent, got.Bytes()) {
				t.Errorf("%d bytes sent and other %d received, %v", len(sent), got.Len(), err)
			}
			if got, err := root.Output(t.Context(), "cat"); got != "" || err != nil {
				t.Errorf("no input is %q, %v", got, err)
			}
			var exit *ExitError
			if _, err := root.Output(t.Context(), "sh", "-c", "echo so >&2; exit 7"); !errors.As(err, &exit) || exit.Code != 7 || exit.Stderr != "so" || !strings.HasPrefix(exit.Command, "`sh -c echo so") {
				t.Errorf("a failure is %v", err)
			}
			if again, err := root.AsRoot(t.Context()); err != nil || again.as != root.as {
				t.Errorf("a second time: %v", err)
			}
			if me.asked.Load() != questions {
				t.Errorf("%d questions were asked, want %d", me.asked.Load(), questions)
			}
		})
	}
	t.Run("the store", func(t *testing.T) {
		t.Parallel()
		d := &Dialer{Ask: (&person{answers: []string{sudoPassword}}).ask}
		conn, err := d.Dial(t.Context(), on(n, h, "asked"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		root, err := conn.AsRoot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		here := "local?root=" + t.TempDir()
		source := t.TempDir() + "/source"
		os.WriteFile(source, []byte("content of "+source), 0o644)
		path := mustNix(t, "store", "add", "--store", here, source)
		tunnel := open(t, root, "")
		mustNix(t, "copy", "--no-check-sigs", "--from", here, "--to", tunnel.StoreURI(), path)
		if content, err := h.ReadFile(path); err != nil || string(content) != "content of "+source {
			t.Errorf("%s holds %q, %v", path, content, err)
		}
		if tunnel.Err(time.Time{}) != nil {
			t.Error(tunnel.Err(time.Time{}))
		}
	})
}

func TestAsRootRefused(t *testing.T) {
	t.Parallel()
	n, hosts := lights(t, "electrum", "rosegold")
	h := hosts[0]
	// rosegold has doas only.
	if _, said, code := hosts[1].Exec(t.Context(), "mount", "--bind", "/etc/hostname", "/usr/bin/sudo"); code != 0 {
		t.Fatal(said)
	}
	tests := []struct {
		name, user string
		me         *person // nil: nobody
		says       string
		asked      int64
	}{
		{"nobody to ask", "asked", nil, "no terminal to type it at", 0},
		{"may not use sudo", "denied", &person{answers: []string{sudoPassword}}, "denied is not in the sudoers file", 1},
		{"may not use doas or sudo", "askeddoer", &person{answers: []string{sudoPassword}}, "is not in the sudoers file", 1},
		{"wrong password", "asked", &person{answers: []string{"wrong"}}, "does not accept the password of asked", 3},
		{"no answer", "asked", &person{answers: []string{""}}, "no password was given", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := &Dialer{}
			if test.me != nil {
				d.Ask = test.me.ask
			}
			conn, err := d.Dial(t.Context(), on(n, h, test.user))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for range 2 { // the second time nobody is asked again
				_, err = conn.AsRoot(t.Context())
				if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "become root on electrum") {
					t.Errorf("got %v, want %q in it", err, test.says)
				}
				if strings.Contains(fmt.Sprint(err), sudoPassword) {
					t.Errorf("the password is in: %v", err)
				}
			}
			if test.me != nil && test.me.asked.Load() != test.asked {
				t.Errorf("%d questions were asked, want %d", test.me.asked.Load(), test.asked)
			}
		})
	}
	t.Run("doas asks", func(t *testing.T) {
		t.Parallel()
		conn := dial(t, on(n, hosts[1], "askeddoer"))
		if _, err := conn.AsRoot(t.Context()); !errors.Is(err, ErrNotRoot) || !strings.Contains(err.Error(), "permit nopass askeddoer") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("mistyped once", func(t *testing.T) {
		t.Parallel()
		me := &person{answers: []string{"wrong", sudoPassword}}
		conn, err := (&Dialer{Ask: me.ask}).Dial(t.Context(), on(n, h, "asked"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.AsRoot(t.Context()); err != nil || me.asked.Load() != 2 {
			t.Errorf("%v after %d questions", err, me.asked.Load())
		}
	})
	t.Run("gives up while asked", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		d := &Dialer{Ask: func(ctx context.Context, _ string) (string, error) {
			cancel()
			<-ctx.Done()
			return "", ctx.Err()
		}}
		conn, err := d.Dial(t.Context(), on(n, h, "asked"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.AsRoot(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// One answer serves all hosts, and nobody on a host can see it.
func TestOnePasswordForAllHosts(t *testing.T) {
	t.Parallel()
	n, hosts := lights(t, "galena", "pyrite", "scheelite")
	me := &person{answers: []string{sudoPassword}}
	d := &Dialer{Ask: me.ask}
	var wait sync.WaitGroup
	for _, h := range hosts {
		wait.Go(func() {
			conn, err := d.Dial(t.Context(), on(n, h, "asked"))
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			root, err := conn.AsRoot(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			// While a command of root runs, its whole family is looked at.
			stdin, hold := io.Pipe()
			defer hold.Close()
			begun := make(chan struct{})
			go func() {
				_ = root.Run(t.Context(), Command{Args: []string{"sh", "-c", "echo; exec cat"}, Stdin: stdin, Stdout: &notify{seen: func() { close(begun) }}})
			}()
			<-begun
			out, _, _ := h.Exec(t.Context(), "sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'")
			if !strings.Contains(out, "sudo") || strings.Contains(out, sudoPassword) {
				t.Errorf("the password or no sudo is seen in:\n%s", out)
			}
		})
	}
	wait.Wait()
	if me.asked.Load() != 1 {
		t.Errorf("%d questions were asked", me.asked.Load())
	}
}

// A mistyped password costs one host some attempts, not each of them.
func TestWrongPasswordStopsAtOneHost(t *testing.T) {
	t.Parallel()
	var tried sync.Map
	var p password
	me := &person{answers: []string{"wrong"}}
	var wait sync.WaitGroup
	for host := range 5 {
		wait.Go(func() {
			_, err := p.unlock(t.Context(), "", me.ask, func(string) error {
				tried.Store(host, true)
				return errWrongPassword
			})
			if !errors.Is(err, errWrongPassword) {
				t.Errorf("got %v", err)
			}
		})
	}
	wait.Wait()
	count := 0
	tried.Range(func(any, any) bool { count++; return true })
	if count != 1 || me.asked.Load() != attempts {
		t.Errorf("%d hosts were tried, %d questions asked", count, me.asked.Load())
	}
	t.Run("waiting ends with the context", func(t *testing.T) {
		var p password
		asking, answer := make(chan struct{}), make(chan struct{})
		go p.unlock(t.Context(), "", func(context.Context, string) (string, error) { close(asking); <-answer; return "x", nil }, func(string) error { return nil })
		<-asking
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := p.unlock(ctx, "", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		close(answer)
	})
}
