package ssh

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// silence is a port that accepts connections and says nothing.
func silence(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	s, impostor := newServer(t), newServer(t)
	impostor.write(t, "authorized_keys", s.read(t, "user.pub"), 0o644)
	link := newLink(t, s.address())
	at := func(port int) Target { return Target{User: "root", Host: "127.0.0.1", Port: port} }
	tests := []struct {
		name      string
		addresses []int // ports
		want      int   // the port it is reached at; 0: it fails
		err       error
		says      []string
	}{
		{name: "the first", addresses: []int{s.port, silence(t)}, want: s.port},
		{name: "after one that refuses", addresses: []int{freePort(t), s.port}, want: s.port},
		{name: "after some that are silent", addresses: []int{silence(t), silence(t), s.port}, want: s.port},
		{name: "after one that is no SSH server", addresses: []int{freePort(t), silence(t), link.port}, want: link.port},
		{name: "after another host", addresses: []int{impostor.port, s.port}, want: s.port},
		{name: "none", addresses: []int{freePort(t), freePort(t)}, err: ErrRefused, says: []string{"galena is not reached by any of its 2 addresses: connect to 127.0.0.1", "; connect to 127.0.0.1"}},
		{name: "only another host", addresses: []int{freePort(t), impostor.port}, err: ErrHostKeyChanged, says: []string{"galena is not reached by any of its 2 addresses: connect to 127.0.0.1 (127.0.0.1:" + strconv.Itoa(impostor.port)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := s.config(t)
			s.write(t, "known_hosts", "", 0o600)
			cfg.HostKeys = []string{readKey(t, s.path("host.pub"))}
			cfg.Name, cfg.ConnectTimeout = "galena", time.Hour
			cfg.Target = at(test.addresses[0])
			for _, port := range test.addresses[1:] {
				cfg.Addresses = append(cfg.Addresses, Target{Host: "127.0.0.1", Port: port})
			}
			conn, err := Dial(t.Context(), cfg)
			if test.want == 0 {
				if !errors.Is(err, test.err) {
					t.Errorf("got %v, want %v", err, test.err)
				}
				for _, text := range test.says {
					if err != nil && !strings.Contains(err.Error(), text) {
						t.Errorf("%q is not in: %v", text, err)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if conn.cfg.Target != at(test.want) {
				t.Errorf("reached at %s, want port %d", conn.cfg.Target, test.want)
			}
			if _, err := conn.Output(t.Context(), "false"); err == nil || !strings.Contains(err.Error(), "on galena") {
				t.Errorf("the host is not called by its name: %v", err)
			}
		})
	}
	t.Run("who does not let us in is the host", func(t *testing.T) {
		cfg := s.config(t, "IdentitiesOnly yes", "IdentityFile "+impostor.path("user"))
		s.write(t, "ssh_config", strings.ReplaceAll(s.read(t, "ssh_config"), "IdentityFile "+s.path("user")+"\n", ""), 0o600)
		cfg.HostKeys = []string{readKey(t, s.path("host.pub"))}
		cfg.Target, cfg.Addresses = at(s.port), []Target{at(link.port)}
		before := link.connections()
		var refused *AuthError
		if _, err := (&Dialer{stagger: time.Hour}).Dial(t.Context(), cfg); !errors.As(err, &refused) {
			t.Errorf("got %v", err)
		}
		if link.connections() != before {
			t.Error("the other address was tried as well")
		}
	})
	t.Run("known by another of its addresses", func(t *testing.T) {
		cfg := s.config(t)
		s.known(t, "galena.example")
		cfg.Target = Target{User: "root", Host: "galena.example"}
		cfg.Addresses = []Target{{Host: "127.0.0.1", Port: s.port}}
		s.write(t, "ssh_config", "Host galena.example\n HostName 127.0.0.1\n Port "+strconv.Itoa(freePort(t))+"\nHost *\n"+s.read(t, "ssh_config"), 0o600)
		dial(t, cfg)
		s.write(t, "known_hosts", "galena.example "+readKey(t, impostor.path("host.pub"))+"\n", 0o600)
		if _, err := Dial(t.Context(), cfg); !errors.Is(err, ErrHostKeyChanged) {
			t.Errorf("got %v", err)
		}
		s.write(t, "known_hosts", "", 0o600)
		if _, err := Dial(t.Context(), cfg); !errors.Is(err, ErrHostKeyUnknown) {
			t.Errorf("got %v", err)
		}
	})
}

// Only the address that answers first gets a login; the agent and the person
// are not bothered for the others.
func TestAddressesLogInOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t, "LogLevel VERBOSE")
	keygen(t, s.path("locked"), "-N", "secret", "-a", "1")
	s.write(t, "authorized_keys", s.read(t, "locked.pub"), 0o644)
	cfg := s.config(t)
	s.write(t, "ssh_config", "UserKnownHostsFile "+s.path("known_hosts")+"\nIdentityFile "+s.path("locked")+"\n", 0o600)
	cfg.HostKeys = []string{readKey(t, s.path("host.pub"))}
	for range 5 {
		cfg.Addresses = append(cfg.Addresses, Target{Host: "127.0.0.1", Port: newLink(t, s.address()).port})
	}
	cfg.Target = cfg.Addresses[0]
	cfg.Target.User = "root"
	me := &person{answers: []string{"secret"}}
	conn, err := (&Dialer{Ask: me.ask, stagger: time.Nanosecond}).Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Output(t.Context(), "true"); err != nil { // the log is written before
		t.Error(err)
	}
	conn.Close()
	if got := strings.Count(s.read(t, "log"), "Accepted publickey"); got != 1 || me.asked.Load() != 1 {
		t.Errorf("%d logins, %d questions", got, me.asked.Load())
	}
}

func TestAddressIsRemembered(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	first, second := newLink(t, s.address()), newLink(t, s.address())
	dead := freePort(t)
	state := t.TempDir()
	reach := func(t *testing.T, ports ...int) int {
		t.Helper()
		cfg := s.config(t)
		s.write(t, "known_hosts", "", 0o600)
		cfg.HostKeys = []string{readKey(t, s.path("host.pub"))}
		cfg.Name = "../galena"
		cfg.Target.Port = ports[0]
		for _, port := range ports[1:] {
			cfg.Addresses = append(cfg.Addresses, Target{Host: "127.0.0.1", Port: port})
		}
		conn, err := (&Dialer{StateDir: state, stagger: time.Hour}).Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		return conn.cfg.Target.Port
	}
	file := filepath.Join(state, "addresses", "..%2Fgalena.txt")
	noted := func() string {
		text, _ := os.ReadFile(file)
		return strings.TrimSpace(string(text))
	}
	if got := reach(t, first.port, second.port); got != first.port || noted() != "" {
		t.Errorf("reached at %d, noted %q", got, noted())
	}
	if got := reach(t, dead, second.port); got != second.port || noted() != "ssh://root@127.0.0.1:"+strconv.Itoa(second.port) {
		t.Errorf("reached at %d, noted %q", got, noted())
	}
	if got := reach(t, first.port, second.port); got != second.port {
		t.Errorf("the address that answered is not tried first, but %d", got)
	}
	if got := reach(t, first.port, dead); got != first.port { // what is noted is no address of it any more
		t.Errorf("reached at %d", got)
	}
	for _, text := range []string{"", "ssh://root@192.0.2.1\n", strings.Repeat("x", 1<<20), "\x00"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := reach(t, first.port, second.port); got != first.port {
			t.Errorf("reached at %d", got)
		}
	}
	t.Run("at once", func(t *testing.T) {
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				(&Dialer{StateDir: state}).remember(Config{Name: "x", Addresses: []Target{{Host: "b"}}}, Target{Host: "b"})
			})
		}
		wait.Wait()
		entries, err := os.ReadDir(filepath.Dir(file))
		if err != nil || len(entries) != 2 {
			t.Errorf("left: %v, %v", entries, err)
		}
	})
	t.Run("nowhere to write", func(t *testing.T) {
		os.RemoveAll(state)
		os.WriteFile(state, nil, 0o600)
		if got := reach(t, dead, second.port); got != second.port {
			t.Errorf("reached at %d", got)
		}
	})
}
