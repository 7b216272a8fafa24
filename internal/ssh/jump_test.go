package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/testhost"
)

// chain is a target behind a bastion, which is reached over a link.
type chain struct {
	bastion, target *server
	link            *link
	config          Config
}

func newChain(t testing.TB, bastionOptions ...string) *chain {
	t.Helper()
	c := &chain{bastion: newServer(t, bastionOptions...), target: newServer(t)}
	c.link = newLink(t, c.bastion.address())
	c.configure(t)
	return c
}

// configure writes the OpenSSH configuration; lines go before.
func (c *chain) configure(t testing.TB, lines ...string) {
	t.Helper()
	for alias, s := range map[string]*server{"bastion": c.bastion, "target": c.target} {
		s.known(t, alias+".example")
	}
	section := func(name string, s *server, port int, more ...string) string {
		return "Host " + name + "\n HostName 127.0.0.1\n User root\n Port " + strconv.Itoa(port) + "\n IdentityFile " + s.path("user") +
			"\n HostKeyAlias " + name + ".example\n UserKnownHostsFile " + s.path("known_hosts") + "\n" + strings.Join(more, "\n") + "\n"
	}
	text := strings.Join(lines, "\n") + "\n" + section("bastion", c.bastion, c.link.port) + section("target", c.target, c.target.port, " ProxyJump bastion")
	c.target.write(t, "conf", text, 0o600)
	c.config = Config{
		Target: Target{Host: "target"},
		Env:    []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.target.dir, "SHELL=/bin/sh"},
		File:   c.target.path("conf"),
	}
}

func TestProxyJumpChain(t *testing.T) {
	t.Parallel()
	n := testhost.NewNetwork(t)
	hosts := testhost.Lights(t, n, testhost.Options{Name: "one"}, testhost.Options{Name: "two"}, testhost.Options{Name: "three"})
	base, err := os.ReadFile(n.SSHConfig)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		config string // before the network's
		target string
		from   int // the host that three is reached from; -1: this one
	}{
		"directly":             {target: "three", from: -1},
		"through one":          {config: "Host three\n ProxyJump one\n", target: "three", from: 0},
		"through two hosts":    {config: "Host three\n ProxyJump one,two\n", target: "three", from: 1},
		"each its own":         {config: "Host three\n ProxyJump two\nHost two\n ProxyJump one\n", target: "three", from: 1},
		"by the target":        {target: "three?ProxyJump=two,one", from: 0},
		"the target is before": {config: "Host three\n ProxyJump two\n ProxyCommand false\n", target: "three?ProxyJump=one", from: 0},
		"none by the target":   {config: "Host three\n ProxyJump two\n", target: "three?ProxyJump=none", from: -1},
		"by address":           {target: "three?ProxyJump=root@" + hosts[1].Addr, config: "Host " + hosts[1].IP.String() + "\n IdentityFile " + n.ClientKey + "\n UserKnownHostsFile " + n.KnownHosts + "\n", from: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := t.TempDir() + "/config"
			if err := os.WriteFile(file, append([]byte(test.config), base...), 0o600); err != nil {
				t.Fatal(err)
			}
			target, err := ParseTarget(test.target)
			if err != nil {
				t.Fatal(err)
			}
			conn := dial(t, Config{Target: target, Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=/nowhere", "USER=root"}, File: file})
			want := n.Addr.String()
			if test.from >= 0 {
				want = hosts[test.from].IP.String()
			}
			got, err := conn.Output(t.Context(), "sh", "-c", `echo "${SSH_CONNECTION%% *}" $(hostname)`)
			if err != nil || got != want+" three" {
				t.Errorf("reached from %q, %v, want %q", got, err, want)
			}
		})
	}
}

func TestProxyJumpIsShared(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	var d Dialer
	var conns []*Conn
	var mu sync.Mutex
	var wait sync.WaitGroup
	for range 6 {
		wait.Go(func() {
			conn, err := d.Dial(t.Context(), c.config)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, conn)
		})
	}
	wait.Wait()
	if c.link.connections() != 1 {
		t.Errorf("%d connections were made to the bastion", c.link.connections())
	}
	if t.Failed() {
		return
	}
	for _, conn := range conns[1:] {
		conn.Close()
	}
	if got, err := conns[0].Output(t.Context(), "echo", "here"); got != "here" || err != nil {
		t.Errorf("the last one: %q, %v", got, err)
	}
	conns[0].Close()
	waitFor(t, "the connection to the bastion is closed", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.hops) == 0
	})
	dialed, err := d.Dial(t.Context(), c.config)
	if err != nil || c.link.connections() != 2 {
		t.Fatalf("again: %v, %d connections", err, c.link.connections())
	}
	dialed.Close()
}

func TestProxyJumpFails(t *testing.T) {
	t.Parallel()
	fails := func(t *testing.T, cfg Config, want error, says ...string) {
		t.Helper()
		_, err := Dial(t.Context(), cfg)
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Fatalf("got %v, want %v", err, want)
		}
		for _, text := range says {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%q is not in: %v", text, err)
			}
		}
	}
	c := newChain(t)
	t.Run("unknown key of the bastion", func(t *testing.T) {
		c.configure(t)
		os.Remove(c.bastion.path("known_hosts"))
		fails(t, c.config, ErrHostKeyUnknown, "reach target", "connect to bastion", "bastion.example")
	})
	t.Run("changed key of the bastion", func(t *testing.T) {
		c.configure(t)
		c.bastion.write(t, "known_hosts", "bastion.example "+readKey(t, c.target.path("host.pub"))+"\n", 0o600)
		fails(t, c.config, ErrHostKeyChanged, "reach target", "connect to bastion")
	})
	t.Run("changed key of the target", func(t *testing.T) {
		c.configure(t)
		c.target.write(t, "known_hosts", "target.example "+readKey(t, c.bastion.path("host.pub"))+"\n", 0o600)
		fails(t, c.config, ErrHostKeyChanged, "connect to target", "target.example")
	})
	t.Run("no key for the bastion", func(t *testing.T) {
		c.configure(t, "Host bastion", " IdentitiesOnly yes", " IdentityFile none")
		c.bastion.write(t, "authorized_keys", "", 0o644)
		defer c.bastion.write(t, "authorized_keys", c.bastion.read(t, "user.pub"), 0o644)
		fails(t, c.config, nil, "reach target", "bastion", "does not let root in")
	})
	t.Run("nothing listens", func(t *testing.T) {
		c.configure(t, "Host target", " Port "+strconv.Itoa(freePort(t)))
		fails(t, c.config, ErrRefused, "through bastion")
	})
	t.Run("no such host", func(t *testing.T) {
		c.configure(t, "Host target", " HostName no-such-host.invalid")
		fails(t, c.config, ErrUnreachable, "through bastion")
	})
	t.Run("a target that says nothing", func(t *testing.T) {
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		c.configure(t, "Host target", " Port "+strconv.Itoa(silent.Addr().(*net.TCPAddr).Port))
		short := c.config
		short.ConnectTimeout = 2 * time.Second
		fails(t, short, ErrTimeout, "target")
	})
	t.Run("circles", func(t *testing.T) {
		c.configure(t, "Host bastion", " ProxyJump target")
		fails(t, c.config, nil, "ProxyJump goes in circles: ssh://bastion, ssh://target, ssh://bastion")
		c.configure(t, "Host *", " ProxyJump bastion")
		fails(t, c.config, nil, "ProxyJump goes in circles")
	})
	t.Run("no list of hosts", func(t *testing.T) {
		c.config.Target.Jump = "-oProxyCommand=x"
		fails(t, c.config, nil, "the host is not valid")
	})
	t.Run("the bastion passes nothing on", func(t *testing.T) {
		fails(t, newChain(t, "AllowTcpForwarding no").config, ErrUnreachable, "bastion does not pass connections on", "AllowTcpForwarding")
	})
	t.Run("a bastion that is dead fails all at once", func(t *testing.T) {
		const many = 20
		dead, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer dead.Close()
		c := newChain(t)
		c.configure(t, "Host bastion", " Port "+strconv.Itoa(dead.Addr().(*net.TCPAddr).Port))
		var d Dialer
		var wait sync.WaitGroup
		for range many {
			wait.Go(func() {
				if _, err := d.Dial(t.Context(), c.config); !errors.Is(err, ErrUnreachable) {
					t.Errorf("got %v", err)
				}
			})
		}
		conn, err := dead.Accept()
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, "all wait for it", func() bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			for _, h := range d.hops {
				return h.users == many
			}
			return false
		})
		conn.Close()
		wait.Wait()
	})
	t.Run("who opened it gives up, the next goes on", func(t *testing.T) {
		c := newChain(t)
		asked := make(chan struct{}, 2)
		ctx, cancel := context.WithCancel(t.Context())
		keygen(t, c.bastion.path("locked"), "-N", "secret", "-a", "1")
		c.bastion.write(t, "authorized_keys", c.bastion.read(t, "locked.pub"), 0o644)
		c.configure(t, "Host bastion", " IdentityFile "+c.bastion.path("locked"), " IdentitiesOnly yes")
		d := &Dialer{Ask: func(ctx context.Context, _ string) (string, error) {
			asked <- struct{}{}
			if len(asked) == 1 {
				<-ctx.Done()
				return "", ctx.Err()
			}
			return "secret", nil
		}}
		first := make(chan error)
		go func() {
			_, err := d.Dial(ctx, c.config)
			first <- err
		}()
		waitFor(t, "the first asks", func() bool { return len(asked) == 1 })
		second := make(chan error)
		go func() {
			conn, err := d.Dial(t.Context(), c.config)
			if err == nil {
				conn.Close()
			}
			second <- err
		}()
		waitFor(t, "the second waits", func() bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			for _, h := range d.hops {
				return h.users == 2
			}
			return false
		})
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the first: %v", err)
		}
		if err := <-second; err != nil {
			t.Errorf("the second: %v", err)
		}
	})
}

func TestProxyJumpIsLost(t *testing.T) {
	t.Parallel()
	lose := func(t *testing.T, cut func(c *chain)) {
		c := newChain(t)
		c.config.KeepAlive, c.config.KeepAliveMax = 100*time.Millisecond, 9
		conn := dial(t, c.config)
		if err := conn.Run(t.Context(), untilCut(t, func() { cut(c) })); !errors.Is(err, ErrConnectionLost) {
			t.Errorf("got %v", err)
		}
	}
	t.Run("bastion killed", func(t *testing.T) { lose(t, func(c *chain) { c.bastion.kill() }) })
	t.Run("line dead", func(t *testing.T) { lose(t, func(c *chain) { c.link.cut() }) })
	t.Run("the next way is a new one", func(t *testing.T) {
		c := newChain(t)
		var d Dialer
		conn, err := d.Dial(t.Context(), c.config)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		c.link.cut()
		short := c.config
		short.ConnectTimeout = 200 * time.Millisecond
		if _, err := d.Dial(t.Context(), short); !errors.Is(err, ErrTimeout) {
			t.Errorf("over the dead line: %v", err)
		}
		c.link.mend()
		again, err := d.Dial(t.Context(), c.config)
		if err != nil {
			t.Fatal(err)
		}
		again.Close()
	})
	t.Run("closing does not wait for a dead line", func(t *testing.T) {
		c := newChain(t)
		c.config.KeepAlive = time.Hour
		conn := dial(t, c.config)
		c.link.cut()
		conn.Close()
	})
}

func TestProxyCommand(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	pids := c.target.path("pids")
	// gone waits for the end of all processes that noted their number.
	gone := func(t *testing.T) {
		t.Helper()
		waitFor(t, "the command ends", func() bool {
			for pid := range strings.FieldsSeq(c.target.read(t, "pids")) {
				if _, err := os.Stat("/proc/" + pid); err == nil {
					return false
				}
			}
			return true
		})
	}
	command := func(t *testing.T, text string) Config {
		t.Helper()
		c.target.write(t, "pids", "", 0o600)
		c.configure(t, "Host target", " ProxyJump none", " ProxyCommand sh -c 'echo $$ >>"+pids+"; "+text+"'")
		cfg := c.config
		cfg.Target.Jump = "none"
		return cfg
	}
	t.Run("carries the connection", func(t *testing.T) {
		conn := dial(t, command(t, fmt.Sprintf("exec ssh -F %s -W %%h:%%p bastion", c.target.path("conf"))))
		sent := strings.Repeat("0123456789abcdef", 100000)
		var got strings.Builder
		if err := conn.Run(t.Context(), Command{Args: []string{"cat"}, Stdin: strings.NewReader(sent), Stdout: &got}); err != nil || got.String() != sent {
			t.Errorf("%d bytes of %d, %v", got.Len(), len(sent), err)
		}
		conn.Close()
		gone(t)
	})
	t.Run("fails", func(t *testing.T) {
		_, err := Dial(t.Context(), command(t, "echo no route to %h of %n >&2; exit 1"))
		if err == nil || !strings.Contains(err.Error(), "its ProxyCommand said: no route to 127.0.0.1 of target") {
			t.Errorf("got %v", err)
		}
		gone(t)
	})
	t.Run("says nothing, nor do its children", func(t *testing.T) {
		cfg := command(t, "trap : HUP; (echo $$ >>"+pids+"; exec sleep 300) & sleep 300; sleep 300")
		cfg.ConnectTimeout = time.Second
		_, err := Dial(t.Context(), cfg)
		if !errors.Is(err, ErrTimeout) {
			t.Errorf("got %v", err)
		}
		gone(t)
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cfg := command(t, "exec sleep 300")
		cfg.ConnectTimeout = time.Minute
		go func() {
			for ctx.Err() == nil && c.target.read(t, "pids") == "" {
				time.Sleep(time.Millisecond)
			}
			cancel()
		}()
		if _, err := Dial(ctx, cfg); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		gone(t)
	})
	t.Run("is killed", func(t *testing.T) {
		conn := dial(t, command(t, fmt.Sprintf("exec ssh -F %s -W %%h:%%p bastion", c.target.path("conf"))))
		err := conn.Run(t.Context(), untilCut(t, func() {
			pid, _ := strconv.Atoi(strings.TrimSpace(c.target.read(t, "pids")))
			if process, err := os.FindProcess(pid); err == nil {
				process.Kill()
			}
		}))
		if !errors.Is(err, ErrConnectionLost) {
			t.Errorf("got %v", err)
		}
	})
}
