package ssh

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

func TestReach(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { web.Close() })
	go func() {
		for {
			conn, err := web.Accept()
			if err != nil {
				return
			}
			conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			conn.Close()
		}
	}()
	port := func(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

	tests := []struct {
		name   string
		target Target
		wait   time.Duration
		want   error
	}{
		{"refused", Target{Host: "127.0.0.1", Port: freePort(t)}, time.Minute, ErrRefused},
		{"accepts and is silent", Target{Host: "127.0.0.1", Port: port(silent)}, 300 * time.Millisecond, ErrTimeout},
		{"not an SSH server", Target{Host: "127.0.0.1", Port: port(web)}, time.Minute, ErrUnreachable},
		{"no such name", Target{Host: "no-such-host.invalid"}, time.Minute, ErrUnreachable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.target.User = "root"
			start := time.Now()
			_, err := Dial(t.Context(), Config{Target: test.target, ConnectTimeout: test.wait, Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=/nowhere"}, File: os.DevNull})
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.target.Host) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if time.Since(start) > 10*time.Second {
				t.Errorf("it took %s", time.Since(start))
			}
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := Dial(ctx, Config{Target: Target{User: "root", Host: "127.0.0.1", Port: port(silent)}})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 10*time.Second {
			t.Errorf("got %v after %s", err, time.Since(start))
		}
	})
}

func TestAuth(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	dir := t.TempDir()
	keygen(t, dir+"/stranger")
	keygen(t, dir+"/locked", "-N", "secret")
	os.WriteFile(dir+"/not-a-key", []byte("tax return"), 0o600)
	reach := func(t *testing.T, identity ...string) Config {
		cfg := s.config(t)
		text := "UserKnownHostsFile " + s.path("known_hosts") + "\nGlobalKnownHostsFile none\n"
		for _, name := range identity {
			text += "IdentityFile " + name + "\n"
		}
		if len(identity) == 0 {
			text += "IdentityFile none\n"
		}
		s.write(t, "ssh_config", text, 0o600)
		return cfg
	}
	fails := func(t *testing.T, cfg Config, says ...string) {
		t.Helper()
		_, err := Dial(t.Context(), cfg)
		var failure *AuthError
		if !errors.As(err, &failure) {
			t.Fatalf("got %v", err)
		}
		for _, text := range append(says, "127.0.0.1", "does not let root in") {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%q is not in: %v", text, err)
			}
		}
	}
	t.Run("wrong key", func(t *testing.T) {
		fails(t, reach(t, dir+"/stranger"), "offered "+dir+"/stranger", "it accepts: publickey")
	})
	t.Run("no key", func(t *testing.T) { fails(t, reach(t), "no key to offer", "ssh-add") })
	t.Run("passphrase", func(t *testing.T) {
		fails(t, reach(t, dir+"/locked"), "has a passphrase: run `ssh-add "+dir+"/locked`")
	})
	t.Run("not a key", func(t *testing.T) { fails(t, reach(t, dir+"/not-a-key"), "not-a-key (is not a key)") })
	t.Run("too many keys", func(t *testing.T) {
		var keys []string
		for i := range 8 {
			keys = append(keys, dir+"/many"+strconv.Itoa(i))
			keygen(t, keys[i])
		}
		fails(t, reach(t, keys...), "Too many authentication failures")
	})
	t.Run("a passphrase does not matter where another key fits", func(t *testing.T) {
		dial(t, reach(t, dir+"/locked", s.path("user")))
	})
	t.Run("named key", func(t *testing.T) {
		cfg := reach(t)
		cfg.IdentityFiles = []string{s.path("user")}
		dial(t, cfg)
		cfg.IdentityFiles = []string{dir + "/missing"}
		if _, err := Dial(t.Context(), cfg); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("without OpenSSH's client", func(t *testing.T) {
		cfg := reach(t)
		cfg.File = ""
		cfg.Env = []string{"HOME=" + s.dir}
		os.MkdirAll(s.path(".ssh"), 0o700)
		for from, to := range map[string]string{"user": ".ssh/id_ed25519", "known_hosts": ".ssh/known_hosts"} {
			s.write(t, to, s.read(t, from), 0o600)
		}
		dial(t, cfg)
	})

	keyring := agent.NewKeyring()
	for i, file := range []string{dir + "/stranger", s.path("user")} {
		content, _ := os.ReadFile(file)
		key, err := ssh.ParseRawPrivateKey(content)
		if err != nil {
			t.Fatal(err)
		}
		if err := keyring.Add(agent.AddedKey{PrivateKey: key, Comment: "key " + strconv.Itoa(i)}); err != nil {
			t.Fatal(err)
		}
	}
	socket := serveAgent(t, keyring)
	withAgent := func(cfg Config, socket string) Config {
		cfg.Env = append(cfg.Env, "SSH_AUTH_SOCK="+socket)
		return cfg
	}
	t.Run("agent", func(t *testing.T) { dial(t, withAgent(reach(t), socket)) })
	t.Run("a public key chooses one of the agent", func(t *testing.T) {
		cfg := withAgent(reach(t, s.path("user.pub")), socket)
		s.write(t, "ssh_config", s.read(t, "ssh_config")+"IdentitiesOnly yes\n", 0o600)
		dial(t, cfg)
	})
	t.Run("IdentitiesOnly leaves the agent's other keys", func(t *testing.T) {
		cfg := withAgent(reach(t, dir+"/stranger"), socket)
		s.write(t, "ssh_config", s.read(t, "ssh_config")+"IdentitiesOnly yes\n", 0o600)
		fails(t, cfg, "offered the agent's key 0 (ssh-ed25519 SHA256:")
	})
	t.Run("IdentityAgent", func(t *testing.T) {
		for value, works := range map[string]bool{"none": false, "SSH_AUTH_SOCK": true, "$OTHER": true, socket: true} {
			cfg := withAgent(reach(t), socket)
			cfg.Env = append(cfg.Env, "OTHER="+socket)
			s.write(t, "ssh_config", s.read(t, "ssh_config")+"IdentityAgent "+value+"\n", 0o600)
			conn, err := Dial(t.Context(), cfg)
			if works != (err == nil) {
				t.Errorf("%s: %v", value, err)
			}
			if err == nil {
				conn.Close()
			}
		}
	})
	t.Run("no agent behind the socket", func(t *testing.T) {
		fails(t, withAgent(reach(t), dir+"/gone"), "the agent's keys (dial unix")
	})
}

func TestOpenSSHConfiguration(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.known(t, "galena.example")
	s.write(t, "conf", strings.Join([]string{
		"Host galena", " HostName 127.0.0.1", " Port " + strconv.Itoa(s.port), " User root",
		" IdentityFile ~/user", " HostKeyAlias galena.example", " UserKnownHostsFile " + s.path("known_hosts"),
		"Host passing", " ProxyUseFdpass yes", " ProxyCommand nc %h %p",
		"Host from", " BindAddress 127.0.0.2",
		"Host plain", " ProxyJump none", " HostName 127.0.0.1", " Port " + strconv.Itoa(freePort(t)),
	}, "\n"), 0o600)
	cfg := Config{Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir}, File: s.path("conf")}

	for host, says := range map[string]string{
		"passing":  "ProxyUseFdpass",
		"from":     "BindAddress",
		"plain":    "connection refused",
		"-oUser=x": "hostname contains invalid characters",
	} {
		cfg.Target = Target{Host: host}
		if _, err := Dial(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v, want %q in it", host, err, says)
		}
	}
	cfg.Target = Target{Host: "galena"}
	if got, err := dial(t, cfg).Output(t.Context(), "id", "-un"); got != "root" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	t.Run("broken", func(t *testing.T) {
		s.write(t, "conf", "Port many\n", 0o600)
		if _, err := Dial(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "ssh -G") || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("got %v", err)
		}
		cfg.Env = nil
		if _, err := Dial(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "install OpenSSH") {
			t.Errorf("got %v", err)
		}
	})
}

func serveAgent(t *testing.T, keys agent.Agent) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listener, err := net.Listen("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = agent.ServeAgent(keys, conn)
			}()
		}
	}()
	return dir + "/s"
}
