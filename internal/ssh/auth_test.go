package ssh

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// hold puts keys, by their files, into an agent; a certificate beside one goes
// with it if asked for.
func hold(t *testing.T, certificates bool, files ...string) string {
	t.Helper()
	keyring := agent.NewKeyring()
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		key, err := ssh.ParseRawPrivateKey(content)
		if err != nil {
			t.Fatal(err)
		}
		added := agent.AddedKey{PrivateKey: key, Comment: file}
		if certificates {
			if added.Certificate, err = readCertificate(file + "-cert.pub"); err != nil {
				t.Fatal(err)
			}
		}
		if err := keyring.Add(added); err != nil {
			t.Fatal(err)
		}
	}
	return serveAgent(t, keyring)
}

func TestUserCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keygen(t, dir+"/authority")
	for _, name := range []string{"me", "rsa", "bare", "other", "late"} {
		kind := "ed25519"
		if name == "rsa" {
			kind = "rsa"
		}
		keygen(t, dir+"/"+name, "-t", kind)
		switch name {
		case "bare":
		case "late":
			sign(t, dir+"/authority", dir+"/"+name, "-n", "root", "-V", "20200101:20200102")
		default:
			sign(t, dir+"/authority", dir+"/"+name, "-n", "root")
		}
	}
	// A certificate away from its key.
	if err := os.Rename(dir+"/other-cert.pub", dir+"/elsewhere.pub"); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, "TrustedUserCAKeys "+dir+"/authority.pub", "AuthorizedKeysFile none")
	base := "UserKnownHostsFile " + s.path("known_hosts") + "\nGlobalKnownHostsFile none\n"
	tests := []struct {
		name, config, agent string
		fails               []string // empty: it gets in
	}{
		{name: "beside the key", config: "IdentityFile " + dir + "/me"},
		{name: "of an RSA key", config: "IdentityFile " + dir + "/rsa"},
		{name: "named", config: "IdentityFile " + dir + "/other\nCertificateFile " + dir + "/elsewhere.pub"},
		{name: "named with a token", config: "IdentityFile " + dir + "/other\nCertificateFile ${KEYS}/elsewhere.pub"},
		{name: "of a key in the agent", config: "IdentityFile none\nCertificateFile " + dir + "/elsewhere.pub", agent: hold(t, false, dir+"/bare", dir+"/other")},
		{name: "in the agent", config: "IdentityFile none", agent: hold(t, true, dir+"/me")},
		{name: "of an RSA key in the agent", config: "IdentityFile none", agent: hold(t, true, dir+"/rsa")},
		{name: "in the agent, chosen by its key", config: "IdentitiesOnly yes\nIdentityFile " + dir + "/me.pub", agent: hold(t, true, dir+"/me")},
		{name: "as identity file", config: "IdentitiesOnly yes\nIdentityFile " + dir + "/elsewhere.pub", agent: hold(t, false, dir+"/other"), fails: []string{"elsewhere.pub (there is no private key for it)"}},
		{name: "none", config: "IdentityFile " + dir + "/bare", fails: []string{"offered " + dir + "/bare"}},
		{name: "of another key", config: "IdentityFile " + dir + "/bare\nCertificateFile " + dir + "/elsewhere.pub", fails: []string{"elsewhere.pub (there is no private key for it)"}},
		{name: "missing", config: "IdentityFile " + dir + "/bare\nCertificateFile " + dir + "/missing.pub", fails: []string{"missing.pub (no such file"}},
		{name: "not one", config: "IdentityFile " + dir + "/bare\nCertificateFile " + dir + "/bare.pub", fails: []string{"bare.pub (is not the certificate of a user)"}},
		{name: "expired", config: "IdentityFile " + dir + "/late", fails: []string{"late-cert.pub (id \"test\", for root, until 2020-01-0"}},
		{name: "left alone by IdentitiesOnly", config: "IdentitiesOnly yes\nIdentityFile none", agent: hold(t, true, dir+"/me"), fails: []string{"no key to offer"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := s.config(t)
			s.write(t, "ssh_config", base+test.config+"\n", 0o600)
			cfg.Env = append(cfg.Env, "SSH_AUTH_SOCK="+test.agent, "KEYS="+dir)
			conn, err := Dial(t.Context(), cfg)
			if err == nil {
				conn.Close()
			}
			if (err == nil) != (len(test.fails) == 0) {
				t.Fatalf("got %v", err)
			}
			for _, text := range test.fails {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q is not in: %v", text, err)
				}
			}
		})
	}
}

// A server of default settings hangs up after six keys. The key that is meant
// has to be among the first, whatever else the agent holds.
func TestKeyOrder(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	dir := t.TempDir()
	var many []string
	for i := range 12 {
		many = append(many, dir+"/many"+strconv.Itoa(i))
		keygen(t, many[i])
	}
	crowd := hold(t, false, many...)
	last := hold(t, false, append(many, s.path("user"))...)
	for name, test := range map[string]struct {
		agent, identity string
		fails           string
	}{
		"a file":                   {agent: crowd, identity: s.path("user")},
		"the last of the agent":    {agent: last, identity: s.path("user.pub")},
		"in the agent and as file": {agent: last, identity: s.path("user")},
		"not named":                {agent: last, identity: "none", fails: "name the key for it as IdentityFile"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := s.config(t)
			s.write(t, "ssh_config", "UserKnownHostsFile "+s.path("known_hosts")+"\nGlobalKnownHostsFile none\nIdentityFile "+test.identity+"\n", 0o600)
			cfg.Env = append(cfg.Env, "SSH_AUTH_SOCK="+test.agent)
			conn, err := Dial(t.Context(), cfg)
			if err == nil {
				conn.Close()
			}
			if (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestPassphrase(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	dir := t.TempDir()
	const passphrase = "correct horse"
	keygen(t, dir+"/locked", "-N", passphrase, "-a", "1")
	keygen(t, dir+"/rsa", "-N", passphrase, "-t", "rsa", "-a", "1")
	keygen(t, dir+"/pem", "-N", passphrase, "-t", "rsa", "-m", "PEM")
	keygen(t, dir+"/stranger", "-N", passphrase, "-a", "1")
	keygen(t, dir+"/open")
	authorize := func(t *testing.T, names ...string) {
		t.Helper()
		var lines string
		for _, name := range names {
			lines += readKey(t, dir+"/"+name+".pub") + "\n"
		}
		s.write(t, "authorized_keys", lines, 0o644)
	}
	config := func(t *testing.T, names ...string) Config {
		cfg := s.config(t)
		text := "UserKnownHostsFile " + s.path("known_hosts") + "\nGlobalKnownHostsFile none\n"
		for _, name := range names {
			text += "IdentityFile " + dir + "/" + name + "\n"
		}
		s.write(t, "ssh_config", text, 0o600)
		return cfg
	}
	tests := []struct {
		name       string
		authorized string
		keys       []string
		answers    []string
		asked      int64
		fails      string
	}{
		{name: "asked for once", authorized: "locked", keys: []string{"locked"}, answers: []string{passphrase}, asked: 1},
		{name: "RSA", authorized: "rsa", keys: []string{"rsa"}, answers: []string{passphrase}, asked: 1},
		{name: "the older format", authorized: "pem", keys: []string{"pem"}, answers: []string{passphrase}, asked: 1},
		{name: "mistyped", authorized: "locked", keys: []string{"locked"}, answers: []string{"wrong", passphrase}, asked: 2},
		{name: "not for a key that the host does not want", authorized: "locked", keys: []string{"stranger", "locked"}, answers: []string{passphrase}, asked: 1},
		{name: "not where another key goes before", authorized: "open", keys: []string{"open", "locked"}, answers: []string{passphrase}, asked: 0},
		{name: "the next key is tried", authorized: "open", keys: []string{"locked", "open"}, answers: []string{passphrase}, asked: 0},
		{name: "wrong", authorized: "locked", keys: []string{"locked"}, answers: []string{"wrong"}, asked: 3, fails: "locked (wrong password)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			authorize(t, test.authorized)
			me := &person{answers: test.answers}
			d := &Dialer{Ask: me.ask}
			cfg := config(t, test.keys...)
			var wait sync.WaitGroup
			for range 4 { // at once
				wait.Go(func() {
					conn, err := d.Dial(t.Context(), cfg)
					if err == nil {
						conn.Close()
					}
					if (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
						t.Errorf("got %v", err)
					}
				})
			}
			wait.Wait()
			if me.asked.Load() != test.asked {
				t.Errorf("%d questions were asked, want %d", me.asked.Load(), test.asked)
			}
		})
	}
	t.Run("a wrong passphrase does not end the search", func(t *testing.T) {
		authorize(t, "locked", "open")
		d := &Dialer{Ask: (&person{answers: []string{"wrong"}}).ask}
		conn, err := d.Dial(t.Context(), config(t, "locked", "open"))
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	})
	t.Run("nobody to ask", func(t *testing.T) {
		authorize(t, "locked")
		if _, err := Dial(t.Context(), config(t, "locked")); err == nil || !strings.Contains(err.Error(), "has a passphrase: run `ssh-add "+dir+"/locked`") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the host loses patience meanwhile", func(t *testing.T) {
		authorize(t, "locked")
		wire := newLink(t, s.address())
		s.known(t, s.address(), "127.0.0.1:"+strconv.Itoa(wire.port))
		cfg := config(t, "locked")
		cfg.Target.Port = wire.port
		d := &Dialer{Ask: func(context.Context, string) (string, error) {
			wire.hangUp()
			return passphrase, nil
		}}
		conn, err := d.Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	})
}
