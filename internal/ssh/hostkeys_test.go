package ssh

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// readKey gives a public key as a line of authorized_keys, without its comment.
func readKey(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(publicKey(t, string(content)))))
}

// sign makes path-cert.pub of path.pub.
func sign(t testing.TB, authority, path string, args ...string) {
	t.Helper()
	args = append([]string{"-q", "-s", authority, "-I", "test"}, append(args, path+".pub")...)
	if out, err := exec.Command("ssh-keygen", args...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
}

// refused reaches the server and wants an error that says things.
func refused(t *testing.T, cfg Config, want error, says ...string) *HostKeyError {
	t.Helper()
	conn, err := Dial(t.Context(), cfg)
	if err == nil {
		conn.Close()
	}
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q is not in: %v", text, err)
		}
	}
	failure := &HostKeyError{}
	errors.As(err, &failure)
	return failure
}

func TestHostKeys(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	dir := t.TempDir()
	keygen(t, dir+"/other")
	keygen(t, dir+"/rsa", "-t", "rsa")
	host, other, rsa := readKey(t, s.path("host.pub")), readKey(t, dir+"/other.pub"), readKey(t, dir+"/rsa.pub")
	hostPrint, otherPrint := ssh.FingerprintSHA256(publicKey(t, host)), ssh.FingerprintSHA256(publicKey(t, other))
	name := "[127.0.0.1]:" + strconv.Itoa(s.port)
	line := func(name, key string) string { return name + " " + key + "\n" }

	tests := []struct {
		name   string
		known  string   // known_hosts
		pinned []string // Config.HostKeys
		want   error
		says   []string
	}{
		{name: "known", known: line(name, host)},
		{name: "known by another kind of key too", known: line(name, rsa) + line(name, host)},
		{name: "hashed", known: line(knownhosts.HashHostname(name), host)},
		{name: "one of a list", known: line("example.org,"+name, host)},
		{name: "known on every port", known: line("127.0.0.*", host)},
		{name: "known without its port", known: line("127.0.0.1", host)},
		{name: "another key without its port", known: line("127.0.0.1", other), want: ErrHostKeyUnknown},
		{name: "the line with its port goes before", known: line("127.0.0.1", host) + line(name, other), want: ErrHostKeyChanged},
		{
			name: "unknown", known: line("example.org", host), want: ErrHostKeyUnknown,
			says: []string{name + ": host key is not known", hostPrint, "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub", "echo '" + name + " ssh-ed25519 ", "known_hosts'"},
		},
		{name: "no known_hosts at all", known: "", want: ErrHostKeyUnknown},
		{name: "excluded", known: line("*,!127.0.0.1,!"+name, host), want: ErrHostKeyUnknown},
		{
			name: "changed", known: line(name, other), want: ErrHostKeyChanged,
			says: []string{hostPrint, otherPrint, "known_hosts:1)", "ssh-keygen -R '" + name + "' -f '"},
		},
		{name: "changed and hashed", known: line(knownhosts.HashHostname(name), other), want: ErrHostKeyChanged},
		{name: "another kind of key", known: line(name, rsa), want: ErrHostKeyChanged, says: []string{hostPrint}},
		{name: "revoked", known: "@revoked * " + host + "\n" + line(name, host), want: ErrHostKeyRevoked, says: []string{"known_hosts:1"}},
		{name: "revoked elsewhere", known: "@revoked example.org " + host + "\n" + line(name, host)},
		{name: "revoked and pinned", known: "@revoked " + name + " " + host + "\n", pinned: []string{host}, want: ErrHostKeyRevoked},
		{name: "pinned", pinned: []string{other, host}},
		{name: "pinned, and changed in known_hosts", known: line(name, other), pinned: []string{host}},
		{name: "pinned to the key of its next deploy", known: line(name, host), pinned: []string{other}},
		{name: "pinned to a key of another kind", pinned: []string{rsa}, want: ErrHostKeyChanged, says: []string{"sops/machines/m/facts"}},
		{
			name: "pinned to another key", pinned: []string{other}, want: ErrHostKeyChanged,
			says: []string{hostPrint, otherPrint, "(sops/machines/m/facts)", "echo '" + name + " ssh-ed25519 "},
		},
		{
			name: "pinned to one key and known by another", known: line(name, rsa), pinned: []string{other}, want: ErrHostKeyChanged,
			says: []string{hostPrint, otherPrint, "(sops/machines/m/facts)", "known_hosts:1)", "ssh-keygen -R"},
		},
		{name: "lines of others that cannot be read", known: "example.org ssh-ed25519 garbage\n@odd\n" + line(name, host)},
		{
			name: "a line that cannot be read", known: "# comment\n" + name + " ssh-ed25519 garbage\n", want: ErrHostKeyUnknown,
			says: []string{"known_hosts:2 cannot be read"},
		},
		{name: "a marker that nobody knows", known: "@new " + name + " " + host + "\n", want: ErrHostKeyUnknown},
		{name: "an authority is no key", known: "@cert-authority " + name + " " + host + "\n", want: ErrHostKeyUnknown, says: []string{"known_hosts:1 did not sign it"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := s.config(t)
			cfg.HostKeys, cfg.HostKeysFrom = test.pinned, "sops/machines/m/facts"
			s.write(t, "known_hosts", test.known, 0o600)
			if test.known == "" {
				os.Remove(s.path("known_hosts"))
			}
			refused(t, cfg, test.want, test.says...)
		})
	}

	// The commands of the messages are run as they stand.
	for _, known := range []string{line("example.org", host), line(name, other) + line(knownhosts.HashHostname(name), rsa)} {
		cfg := s.config(t)
		cfg.HostKeys = []string{rsa}
		s.write(t, "known_hosts", known, 0o600)
		failure := refused(t, cfg, ErrHostKeyChanged)
		_, command, ok := strings.Cut(failure.Fix, "the same fingerprint: ")
		if out, err := exec.Command("sh", "-c", command).CombinedOutput(); !ok || err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
		dial(t, cfg)
	}

	t.Run("what cannot be read and matters", func(t *testing.T) {
		cfg := s.config(t)
		s.write(t, "known_hosts", "@revoked * ssh-ed25519 g@rbage\n", 0o600)
		if _, err := Dial(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "known_hosts:1: the revoked key cannot be read") {
			t.Errorf("got %v", err)
		}
		s.write(t, "known_hosts", line(name, host), 0o600)
		cfg.HostKeys = []string{"garbage"}
		if _, err := Dial(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), `"garbage" is not one public key`) {
			t.Errorf("got %v", err)
		}
	})
}

func TestRevokedHostKeys(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	keygen(t, s.path("other"))
	for name, test := range map[string]struct {
		keys []string
		want error
	}{"revoked": {[]string{"other", "host"}, ErrHostKeyRevoked}, "not revoked": {[]string{"other"}, nil}} {
		t.Run(name, func(t *testing.T) {
			list := "# revoked\n"
			args := []string{"-q", "-k", "-f", s.path("krl")}
			for _, key := range test.keys {
				list += s.read(t, key+".pub")
				args = append(args, s.path(key+".pub"))
			}
			s.write(t, "list", list, 0o600)
			if out, err := exec.Command("ssh-keygen", args...).CombinedOutput(); err != nil {
				t.Fatalf("ssh-keygen: %v: %s", err, out)
			}
			for _, file := range []string{"list", "krl"} {
				refused(t, s.config(t, "RevokedHostKeys "+s.path(file)), test.want)
			}
		})
	}
	for name, content := range map[string]string{"garbage": "garbage", "a broken list": "SSHKRL\n\x00garbage"} {
		t.Run(name, func(t *testing.T) {
			s.write(t, "list", content, 0o600)
			if _, err := Dial(t.Context(), s.config(t, "RevokedHostKeys "+s.path("list"))); err == nil || !strings.Contains(err.Error(), "read RevokedHostKeys") {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := Dial(t.Context(), s.config(t, "RevokedHostKeys "+s.path("missing"))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestHostCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"authority", "stranger", "host"} {
		keygen(t, dir+"/"+name)
	}
	authority, stranger, host := readKey(t, dir+"/authority.pub"), readKey(t, dir+"/stranger.pub"), readKey(t, dir+"/host.pub")
	present := func(t *testing.T, args ...string) *server {
		t.Helper()
		own := t.TempDir() // sshd reads its keys again for every connection
		for _, file := range []string{"host", "host.pub"} {
			if err := os.Link(dir+"/"+file, own+"/"+file); err != nil {
				t.Fatal(err)
			}
		}
		sign(t, dir+"/authority", own+"/host", append([]string{"-h"}, args...)...)
		return newServer(t, "HostKey "+own+"/host", "HostCertificate "+own+"/host-cert.pub")
	}
	good := present(t, "-n", "example.org,127.0.0.1")
	wild := present(t, "-n", "*.0.0.1")
	all := present(t)
	elsewhere := present(t, "-n", "example.org")
	expired := present(t, "-V", "20200101:20200102")
	options := present(t, "-O", "critical:unknown@example.org=x")

	tests := []struct {
		name    string
		server  *server
		known   string
		options []string
		want    error
		says    []string
	}{
		{name: "by an authority", server: good, known: "@cert-authority * " + authority},
		{name: "by one of several", server: good, known: "@cert-authority * " + stranger + "\n@cert-authority 127.* " + authority},
		{name: "for a pattern", server: wild, known: "@cert-authority 127.0.0.1 " + authority},
		{name: "for all", server: all, known: "@cert-authority * " + authority},
		{
			name: "for another host", server: elsewhere, known: "@cert-authority * " + authority, want: ErrHostCertificate,
			says: []string{`principal "127.0.0.1" not in the set`, "known_hosts:1", fingerprint(publicKey(t, host)), fingerprint(publicKey(t, authority)), "sign its key again"},
		},
		{name: "for an alias", server: elsewhere, known: "@cert-authority example.org " + authority, options: []string{"HostKeyAlias Example.org"}},
		{name: "expired", server: expired, known: "@cert-authority * " + authority, want: ErrHostCertificate, says: []string{"cert has expired", "check the clock"}},
		{name: "expired, but its key is known", server: expired, known: "@cert-authority * " + authority + "\n127.0.0.1 " + host},
		{name: "with conditions that nobody knows", server: options, known: "@cert-authority * " + authority, want: ErrHostCertificate},
		{name: "by a stranger", server: good, known: "@cert-authority * " + stranger, want: ErrHostKeyUnknown, says: []string{"the authority of", "did not sign it", fingerprint(publicKey(t, host))}},
		{name: "by a stranger, but its key is known", server: good, known: "@cert-authority * " + stranger + "\n127.0.0.1 " + host},
		{name: "authority for another host", server: good, known: "@cert-authority example.org " + authority, want: ErrHostKeyUnknown},
		{name: "nobody knows anything", server: good, known: "", want: ErrHostKeyUnknown},
		{name: "authority revoked", server: good, known: "@revoked * " + authority + "\n@cert-authority * " + authority, want: ErrHostKeyRevoked},
		{name: "key revoked", server: good, known: "@cert-authority * " + authority + "\n@revoked * " + host, want: ErrHostKeyRevoked},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := test.server.config(t, test.options...)
			test.server.write(t, "known_hosts", test.known+"\n", 0o600)
			refused(t, cfg, test.want, test.says...)
		})
	}
}

// Of a host with several keys, the one that is known is asked for.
func TestHostKeyAlgorithms(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var options []string
	for _, kind := range []string{"rsa", "ecdsa"} {
		keygen(t, dir+"/"+kind, "-t", kind)
		options = append(options, "HostKey "+dir+"/"+kind)
	}
	s := newServer(t, options...)
	for _, key := range []string{dir + "/rsa.pub", dir + "/ecdsa.pub", s.path("host.pub")} {
		cfg := s.config(t)
		s.write(t, "known_hosts", "* "+readKey(t, key)+"\n", 0o600)
		refused(t, cfg, nil)
		cfg = s.config(t, "UserKnownHostsFile none")
		cfg.HostKeys = []string{readKey(t, key)}
		refused(t, cfg, nil)
	}
}

// A host that shows an old key, because its next one is of that kind and pinned, is
// asked for the key or certificate that it is known by.
func TestHostKeyBeforeDeploy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"authority", "host", "next"} {
		keygen(t, dir+"/"+name)
	}
	for _, name := range []string{"ecdsa", "other"} {
		keygen(t, dir+"/"+name, "-t", "ecdsa")
	}
	sign(t, dir+"/authority", dir+"/host", "-h", "-n", "127.0.0.1")
	authority, host, next, ecdsa, other := readKey(t, dir+"/authority.pub"), readKey(t, dir+"/host.pub"), readKey(t, dir+"/next.pub"), readKey(t, dir+"/ecdsa.pub"), readKey(t, dir+"/other.pub")
	s := newServer(t, "HostKey "+dir+"/host", "HostKey "+dir+"/ecdsa", "HostCertificate "+dir+"/host-cert.pub")
	hostPrint := fingerprint(publicKey(t, host))

	tests := []struct {
		name   string
		known  string // key, or authority, in known_hosts
		pinned string
		dials  int
		want   error
		says   []string
	}{
		{name: "known by another kind of key", known: "* " + ecdsa, pinned: next, dials: 2},
		{name: "known by its certificate", known: "@cert-authority * " + authority, pinned: next, dials: 2},
		{name: "deployed", known: "* " + other, pinned: host, dials: 1},
		{name: "neither is its own", known: "* " + other, pinned: next, dials: 2, want: ErrHostKeyChanged, says: []string{"it shows " + hostPrint}},
		{name: "by a stranger", known: "@cert-authority * " + next, pinned: next, dials: 2, want: ErrHostKeyChanged, says: []string{"it shows " + hostPrint}},
		{name: "known by no other kind", known: "* " + next, pinned: next, dials: 1, want: ErrHostKeyChanged, says: []string{"it shows " + hostPrint}},
		{name: "revoked", known: "* " + ecdsa + "\n@revoked * " + ecdsa, pinned: next, dials: 2, want: ErrHostKeyChanged, says: []string{"it shows " + hostPrint}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLink(t, s.address())
			cfg := s.config(t)
			s.write(t, "known_hosts", test.known+"\n", 0o600)
			cfg.HostKeys, cfg.Target.Port = []string{test.pinned}, l.port
			refused(t, cfg, test.want, test.says...)
			if got := l.connections(); got != test.dials {
				t.Errorf("it was reached %d times, want %d", got, test.dials)
			}
		})
	}

	t.Run("and lets nobody in", func(t *testing.T) {
		cfg := s.config(t)
		s.write(t, "known_hosts", "* "+ecdsa+"\n", 0o600)
		s.write(t, "authorized_keys", "", 0o644)
		defer s.write(t, "authorized_keys", s.read(t, "user.pub"), 0o644)
		cfg.HostKeys = []string{next}
		var denied *AuthError
		if _, err := Dial(t.Context(), cfg); !errors.As(err, &denied) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("on any way", func(t *testing.T) {
		c := &chain{bastion: newServer(t), target: s}
		c.link = newLink(t, c.bastion.address())
		c.configure(t, "Host command", " ProxyJump none", " ProxyCommand ssh -F "+s.path("conf")+" -W 127.0.0.1:"+strconv.Itoa(s.port)+" bastion",
			" User root", " HostKeyAlias target.example", " UserKnownHostsFile "+s.path("known_hosts"), " IdentityFile "+s.path("user"))
		s.write(t, "known_hosts", "target.example "+ecdsa+"\n", 0o600)
		for _, name := range []string{"target", "command"} {
			cfg := c.config
			cfg.Target.Host, cfg.HostKeys = name, []string{next}
			dial(t, cfg)
		}
	})
}

// OpenSSH is asked whether a line is about a host, and we have to agree.
func TestKnownNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keygen(t, dir+"/key")
	key := readKey(t, dir+"/key.pub")
	hashed := knownhosts.HashHostname("[galena]:2222")
	for _, field := range []string{
		"galena", "GALENA", "gal*", "g?lena", "*", "?", "", "galena,", ",", "!galena", "*,!galena", "!x,*", "gal*,!gale*", "*a*a", "**a", "[galena]:2222", "[*]:2222", "galena:2222",
		"10.0.0.*", "fd00::1", "[fd00::1]:2222", hashed, hashed[:len(hashed)-2], "|1||", "|1|x|y", "|2|x|y", "|",
	} {
		for _, host := range []struct {
			name string
			port int
		}{{"galena", 22}, {"galena", 2222}, {"Galena", 22}, {"galenas", 22}, {"10.0.0.7", 22}, {"fd00::1", 22}, {"fd00::1", 2222}} {
			name := knownName(host.name, host.port)
			os.WriteFile(dir+"/known_hosts", []byte(field+" "+key+"\n"), 0o600)
			out, _ := exec.Command("ssh-keygen", "-F", name, "-f", dir+"/known_hosts").Output()
			want := len(out) > 0
			_, pattern, _, _, ok := splitKnownHost(field + " " + key)
			if got := ok && matchKnownName(pattern, name); got != want {
				t.Errorf("%q about %q: we say %v, OpenSSH %v", field, name, got, want)
			}
		}
	}
}

func FuzzKnownHosts(f *testing.F) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINc3dNcuLF5sgvm1DTWUhH7mxfDZ9qQKHGH5Feylgla0"
	for _, line := range []string{"galena " + key, "@cert-authority *.a,!b " + key + " comment", "@revoked |1|x|y " + key, "#", "a b c", "@", "*?*?* ssh-rsa AAAA\x00"} {
		f.Add(line, "galena")
	}
	f.Fuzz(func(t *testing.T, content, name string) {
		host, err := lookUp([]knownFile{{"file", []byte(content)}}, name)
		if err == nil && len(host.keys)+len(host.authorities)+len(host.revoked)+len(host.unread) > strings.Count(content, "\n")+1 {
			t.Errorf("more keys than lines: %+v", host)
		}
		for _, k := range append(host.keys, host.authorities...) {
			if k.key == nil {
				t.Errorf("no key at %s", k.place)
			}
		}
	})
}
