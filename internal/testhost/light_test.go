package testhost_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/testhost"
)

// ssh runs a command on a host through OpenSSH's client.
func ssh(t *testing.T, n *testhost.Network, host string, command ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ssh", append([]string{"-F", n.SSHConfig, host, "--"}, command...)...).CombinedOutput()
	return string(out), err
}

func mustSSH(t *testing.T, n *testhost.Network, host string, command ...string) string {
	t.Helper()
	out, err := ssh(t, n, host, command...)
	if err != nil {
		t.Fatalf("ssh %s %q: %v\n%s", host, command, err, out)
	}
	return strings.TrimSpace(out)
}

func mustExec(t *testing.T, h *testhost.Host, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	out, errOut, code := h.Exec(ctx, args...)
	if code != 0 {
		t.Fatalf("%s: %q: exit status %d\n%s%s", h.Name, args, code, out, errOut)
	}
	return strings.TrimSpace(out)
}

func TestEightLightHosts(t *testing.T) {
	n := testhost.NewNetwork(t)
	var opts []testhost.Options
	for i := range 8 {
		opts = append(opts, testhost.Options{Name: fmt.Sprintf("host%d", i+1)})
	}
	began := time.Now()
	hosts := testhost.Lights(t, n, opts...)
	t.Logf("eight light hosts stand after %s", time.Since(began))

	for _, h := range hosts {
		if got := mustSSH(t, n, h.Name, "hostname"); got != h.Name {
			t.Errorf("the host at %s is called %q, want %q", h.Addr, got, h.Name)
		}
	}
	if route := mustExec(t, hosts[0], "ip", "route"); strings.Contains(route, "default") {
		t.Errorf("the host has a default route:\n%s", route)
	}
}

func TestLightHostsAreSeparate(t *testing.T) {
	n := testhost.NewNetwork(t)
	hosts := testhost.Lights(t, n, testhost.Options{Name: "cinnabar"}, testhost.Options{Name: "electrum"})
	cinnabar, electrum := hosts[0], hosts[1]

	for _, path := range []string{"/etc/mark", "/root/mark", "/var/lib/mark", "/home/mark", "/boot/mark", "/run/mark", "/tmp/testhost-mark", "/nix/mark"} {
		if err := cinnabar.WriteFile(path, []byte("here"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := mustSSH(t, n, "cinnabar", "cat", path); got != "here" {
			t.Errorf("%s holds %q, want %q", path, got, "here")
		}
		if _, err := electrum.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s of cinnabar is seen on electrum: %v", path, err)
		}
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s of cinnabar is seen outside: %v", path, err)
		}
	}
	if got := mustSSH(t, n, "cinnabar", "cat", "/proc/1/comm"); got != "bash-static" {
		t.Errorf("process 1 of a host is %q, so it sees the driver's machine's", got)
	}
}

func TestLightHostHasNix(t *testing.T) {
	n := testhost.NewNetwork(t)
	h := testhost.Light(t, n, testhost.Options{Name: "galena"})

	content := "testhost " + t.TempDir() // unique, and so is the store path
	if err := h.WriteFile("/root/note", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	path := mustSSH(t, n, "galena", "nix-store", "--add", "/root/note")
	if got, err := h.ReadFile(path); err != nil || string(got) != content {
		t.Errorf("%s on the host: %q, %v; want %q", path, got, err, content)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("%s of the host is seen outside: %v", path, err)
	}
	if got := mustSSH(t, n, "galena", "nix", "store", "info", "--json"); !strings.Contains(got, `"url":"local"`) {
		t.Errorf("the host's store is %s, want its own local one", got)
	}
	mustSSH(t, n, "galena", "nix-env", "--profile", "/nix/var/nix/profiles/system", "--set", path)
	if got, err := h.ReadFile("/nix/var/nix/profiles/system"); err != nil || string(got) != content {
		t.Errorf("the profile leads to %q, %v; want %q", got, err, content)
	}
}

func TestStrictHostKey(t *testing.T) {
	n := testhost.NewNetwork(t)
	hosts := testhost.Lights(t, n, testhost.Options{Name: "a"}, testhost.Options{Name: "b"})
	wrong := strings.Replace(hosts[0].KnownHosts(), hosts[0].HostKey, hosts[1].HostKey, 1)
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "ssh", "-F", n.SSHConfig, "-o", "UserKnownHostsFile="+file, "a", "true").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Host key verification failed") {
		t.Errorf("ssh with a wrong host key: %v\n%s", err, out)
	}
}

// A command that is stopped, as all are for a moment on a host that shuts down, goes
// on, and does not hang for ever.
func TestExecGoesOn(t *testing.T) {
	h := testhost.Light(t, testhost.NewNetwork(t), testhost.Options{Name: "stopped"})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if out, said, code := h.Exec(ctx, "sh", "-c", "kill -STOP $$; echo on"); out != "on\n" || code != 0 {
		t.Errorf("it prints %q, %q, exit status %d", out, said, code)
	}
}
