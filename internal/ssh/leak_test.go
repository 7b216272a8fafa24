package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Whatever becomes of a connection, it leaves no goroutine, no process and no
// open file. This test is not parallel: it counts those of the whole process.
func TestNothingIsLeft(t *testing.T) {
	c := newChain(t)
	dir := c.target.dir
	c.target.write(t, "cat", "#!/bin/sh\nexec cat\n", 0o755)
	silent := silence(t)
	deaf, err := net.Listen("unix", dir+"/agent") // an agent that says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	c.bastion.known(t, "bastion.example")
	with := func(lines ...string) Config {
		c.configure(t, lines...)
		cfg := c.config
		cfg.KeepAlive, cfg.KeepAliveMax = 100*time.Millisecond, 9
		cfg.Env = append(cfg.Env, "MARK="+dir)
		return cfg
	}
	fails := func(t *testing.T, cfg Config) {
		t.Helper()
		cfg.ConnectTimeout = 300 * time.Millisecond
		if conn, err := Dial(t.Context(), cfg); err == nil {
			conn.Close()
			t.Error("it was reached")
		}
	}
	abandoned := func(t *testing.T, cfg Config) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := Dial(ctx, cfg); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	}
	for _, test := range []struct {
		name string
		do   func(t *testing.T)
	}{
		{"used and closed", func(t *testing.T) {
			conn := dial(t, with("Host target", " ProxyJump none"))
			tunnel, err := conn.NixDaemon(t.Context(), c.target.path("cat"), time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			exchange(t, connect(t, tunnel), "hello")
			tunnel.Close()
			ctx, cancel := context.WithCancel(t.Context())
			_ = conn.Run(ctx, Command{Args: []string{"sh", "-c", "echo; exec cat"}, Stdin: strings.NewReader("x"), Stdout: &notify{seen: cancel}})
			cancel()
			conn.Close()
		}},
		{"through a bastion", func(t *testing.T) { dial(t, with()).Close() }},
		{"through a ProxyCommand", func(t *testing.T) {
			dial(t, with("Host target", " ProxyJump none", fmt.Sprintf(" ProxyCommand ssh -F %s -W %%h:%%p bastion", c.target.path("conf")))).Close()
		}},
		{"a silent host", func(t *testing.T) { fails(t, with("Host target", " ProxyJump none", " Port "+strconv.Itoa(silent))) }},
		{"a silent host behind a bastion", func(t *testing.T) { fails(t, with("Host target", " Port "+strconv.Itoa(silent))) }},
		{"a silent bastion", func(t *testing.T) { fails(t, with("Host bastion", " Port "+strconv.Itoa(silent))) }},
		{"a silent ProxyCommand", func(t *testing.T) {
			fails(t, with("Host target", " ProxyJump none", " ProxyCommand sh -c 'sleep 300 & exec sleep 300'"))
		}},
		{"a slow configuration", func(t *testing.T) {
			abandoned(t, with(`Match exec "sh -c 'sleep 300 & exec sleep 300'"`))
		}},
		{"no key fits", func(t *testing.T) {
			fails(t, with("Host target", " ProxyJump none", " User stranger"))
		}},
		{"an agent that says nothing", func(t *testing.T) {
			abandoned(t, with("Host target", " ProxyJump none", " IdentityAgent "+dir+"/agent"))
		}},
		{"of many addresses one answers", func(t *testing.T) {
			cfg := with("Host target", " ProxyJump none")
			cfg.Addresses = []Target{{Host: "target"}, {Host: "bastion"}, {Host: "127.0.0.1", Port: silent}}
			cfg.Target = Target{Host: "127.0.0.1", Port: silent}
			conn, err := (&Dialer{stagger: time.Nanosecond}).Dial(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
		}},
		{"cancelled", func(t *testing.T) {
			abandoned(t, with("Host target", " Port "+strconv.Itoa(silent)))
		}},
		{"a line that dies", func(t *testing.T) {
			conn := dial(t, with())
			err := conn.Run(t.Context(), untilCut(t, c.link.cut))
			if !errors.Is(err, ErrConnectionLost) {
				t.Errorf("got %v", err)
			}
			c.link.hangUp()
		}},
	} {
		if test.name == "used and closed" {
			test.do(t) // once before it is counted: the runtime and the resolver keep what they start
		}
		goroutines, children, files := runtime.NumGoroutine(), marked(t, dir), openFiles(t)
		t.Run(test.name, test.do)
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if runtime.NumGoroutine() <= goroutines && marked(t, dir) <= children && openFiles(t) <= files {
				break
			}
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<20)
				t.Fatalf("%s: %d goroutines, %d processes and %d files became %d, %d and %d:\n%s", test.name, goroutines, children, files,
					runtime.NumGoroutine(), marked(t, dir), openFiles(t), stacks[:runtime.Stack(stacks, true)])
			}
		}
	}
}

// marked counts the processes that have mark in their environment, which those
// that a Dialer starts inherit.
func marked(t *testing.T, mark string) int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, entry := range entries {
		if environ, err := os.ReadFile("/proc/" + entry.Name() + "/environ"); err == nil && strings.Contains(string(environ), mark) {
			count++
		}
	}
	return count
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
