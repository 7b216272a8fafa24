package ssh

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

func TestHostKeys(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	dir := t.TempDir()
	keygen(t, dir+"/other")
	keygen(t, dir+"/rsa", "-t", "rsa")
	content := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	host, other, rsa := content(s.path("host.pub")), content(dir+"/other.pub"), content(dir+"/rsa.pub")
	hostPrint, otherPrint := ssh.FingerprintSHA256(publicKey(t, host)), ssh.FingerprintSHA256(publicKey(t, other))
	name := "[127.0.0.1]:" + strconv.Itoa(s.port)
	line := func(name, key string) string { return knownhosts.Line([]string{name}, publicKey(t, key)) + "\n" }

	tests := []struct {
		name   string
		known  string   // known_hosts
		pinned []string // Config.HostKeys
		want   error
		says   []string
	}{
		{name: "known", known: line(s.address(), host)},
		{name: "known by another kind of key too", known: line(s.address(), rsa) + line(s.address(), host)},
		{name: "hashed", known: xknownhosts.HashHostname(name) + " " + host + "\n"},
		{name: "known on every port", known: "127.0.0.* " + host + "\n"},
		{
			name: "unknown", known: line("example.org", host), want: ErrHostKeyUnknown,
			says: []string{name + ": host key is not known", hostPrint, "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub", "echo '" + name + " ssh-ed25519 ", "known_hosts'"},
		},
		{name: "no known_hosts at all", known: "", want: ErrHostKeyUnknown},
		{name: "known on another port only", known: line("127.0.0.1:22", host), want: ErrHostKeyUnknown},
		{
			name: "changed", known: line(s.address(), other), want: ErrHostKeyChanged,
			says: []string{hostPrint, otherPrint, "known_hosts:1)", "ssh-keygen -R '" + name + "' -f '"},
		},
		{name: "changed and hashed", known: xknownhosts.HashHostname(name) + " " + other + "\n", want: ErrHostKeyChanged},
		{name: "another kind of key", known: line(s.address(), rsa), want: ErrHostKeyChanged, says: []string{hostPrint}},
		{name: "revoked", known: "@revoked * " + host + "\n" + line(s.address(), host), want: ErrHostKeyRevoked},
		{name: "pinned", pinned: []string{other, host}},
		{name: "pinned to a key of another kind", pinned: []string{rsa}, want: ErrHostKeyChanged, says: []string{"sops/machines/m/facts"}},
		{
			name: "pinned to another key", known: line(s.address(), host), pinned: []string{other}, want: ErrHostKeyChanged,
			says: []string{hostPrint, otherPrint, "(sops/machines/m/facts)"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := s.config(t)
			cfg.HostKeys, cfg.HostKeysFrom = test.pinned, "sops/machines/m/facts"
			s.write(t, "known_hosts", test.known, 0o600)
			if test.known == "" {
				os.Remove(s.path("known_hosts"))
			}
			conn, err := Dial(t.Context(), cfg)
			if err == nil {
				conn.Close()
			}
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			for _, text := range test.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q is not in: %v", text, err)
				}
			}
		})
	}

	// The commands of the messages are run as they stand.
	for _, known := range []string{line("example.org", host), line(s.address(), other) + xknownhosts.HashHostname(name) + " " + rsa + "\n"} {
		cfg := s.config(t)
		s.write(t, "known_hosts", known, 0o600)
		_, err := Dial(t.Context(), cfg)
		var failure *HostKeyError
		if !errors.As(err, &failure) {
			t.Fatalf("got %v", err)
		}
		_, command, ok := strings.Cut(failure.Fix, "the same fingerprint: ")
		if out, err := exec.Command("sh", "-c", command).CombinedOutput(); !ok || err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
		dial(t, cfg)
	}

	t.Run("a line that cannot be read", func(t *testing.T) {
		cfg := s.config(t)
		s.write(t, "known_hosts", "host ssh-ed25519 garbage\n", 0o600)
		if _, err := Dial(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "known_hosts:1") {
			t.Errorf("got %v", err)
		}
		cfg.HostKeys = []string{"garbage"}
		if _, err := Dial(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), `"garbage" is not one public key`) {
			t.Errorf("got %v", err)
		}
	})
}

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
		want   error
	}{
		{"refused", Target{Host: "127.0.0.1", Port: freePort(t)}, ErrRefused},
		{"accepts and is silent", Target{Host: "127.0.0.1", Port: port(silent)}, ErrTimeout},
		{"not an SSH server", Target{Host: "127.0.0.1", Port: port(web)}, ErrUnreachable},
		{"no such name", Target{Host: "no-such-host.invalid"}, ErrUnreachable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.target.User = "root"
			start := time.Now()
			_, err := Dial(t.Context(), Config{Target: test.target, ConnectTimeout: 300 * time.Millisecond, Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=/nowhere"}, File: os.DevNull})
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.target.Host) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if time.Since(start) > 3*time.Second {
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
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 2*time.Second {
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
		"Host behind", " ProxyJump bastion", "Host wrapped", " ProxyCommand nc %h %p", "Host careful", " RevokedHostKeys /etc/ssh/revoked",
		"Host plain", " ProxyJump none", " HostName 127.0.0.1", " Port " + strconv.Itoa(freePort(t)),
	}, "\n"), 0o600)
	cfg := Config{Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir}, File: s.path("conf")}

	for host, says := range map[string]string{
		"behind":   "proxyjump bastion",
		"wrapped":  "proxycommand nc",
		"careful":  "revokedhostkeys /etc/ssh/revoked",
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
