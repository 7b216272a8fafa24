package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/testhost"
)

// on runs a command on a host, past sshd; it has to succeed.
func on(t *testing.T, h *testhost.Host, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	out, errOut, code := h.Exec(ctx, args...)
	if code != 0 {
		t.Fatalf("%s: %q: exit status %d\n%s%s", h.Name, args, code, out, errOut)
	}
	return strings.TrimSpace(out)
}

// until waits for something that has to happen.
func until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain: %s", limit, what)
		}
	}
}

func exists(h *testhost.Host, path string) bool {
	_, err := h.Stat(path)
	return err == nil
}

// hold makes the host's next activation wait until release.
func hold(t *testing.T, h *testhost.Host) {
	t.Helper()
	if err := h.WriteFile("/run/e2e-hold", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _, _ = h.Exec(context.Background(), "rm", "-f", "/run/e2e-hold") })
}

// held waits until the host's activation waits, or p ends without one.
func held(t *testing.T, h *testhost.Host, p *process) {
	t.Helper()
	until(t, h.Name+" begins its activation", func() bool {
		select {
		case <-p.done:
			t.Fatalf("fleet ended before %s began its activation:\n%s", h.Name, p)
		default:
		}
		return exists(h, "/run/e2e-held")
	})
}

func release(t *testing.T, h *testhost.Host) { t.Helper(); on(t, h, "rm", "/run/e2e-hold") }

// snapshot is what an update that changes nothing must leave as it is.
func snapshot(t *testing.T, h *testhost.Host) string {
	t.Helper()
	return on(t, h, "sh", "-c", `
readlink /run/current-system
stat -c '%n %N %Z' /run/current-system /nix/var/nix/profiles/system* /run/secrets /run/secrets-for-users
ls /nix/store | sort
ls -A /run/fleet /var/lib/fleet /nix/var/nix/temproots /nix/var/nix/gcroots/fleet
stat -c '%n %Y' /nix/store /var/lib/sops-nix/key.txt /boot/fleet-default
[ ! -d /run/systemd/system ] || systemctl show --property=MainPID,InvocationID metrics.service`)
}

// standing is what a host runs, boots next, and is in the middle of.
type standing struct{ current, profile, generation, activating string }

func stand(t *testing.T, h *testhost.Host) standing {
	t.Helper()
	lines := strings.Split(on(t, h, "sh", "-c", `
readlink /run/current-system
readlink -f /nix/var/nix/profiles/system
readlink /nix/var/nix/profiles/system
cat /var/lib/fleet/current 2>/dev/null || echo`), "\n")
	s := standing{current: lines[0], profile: lines[1], generation: lines[2]}
	if len(lines) > 3 {
		s.activating = lines[3]
	}
	return s
}

// wantVersion checks that a host is wholly at one system: what runs, what boots
// next, and /etc belong together.
// The table shows the beginning of a system's name.
func wantVersion(t *testing.T, h *testhost.Host, system, version string) {
	t.Helper()
	shown, _ := strings.CutSuffix(system, "…")
	s := stand(t, h)
	if s.current != s.profile || s.activating != "" || !strings.HasPrefix(filepath.Base(s.current), shown) {
		t.Errorf("%s runs %s, boots %s, is activating %q; want %s", h.Name, s.current, s.profile, s.activating, system)
	}
	if got := on(t, h, "cat", "/etc/e2e/version"); got != version {
		t.Errorf("%s has /etc of version %q, want %q", h.Name, got, version)
	}
}

// secret is a file that the demo puts on every server.
type secret struct{ value, path, mode, owner, group string }

var secretFiles = []secret{
	{"metrics/token", "/run/secrets/metrics.token", "440", "root", "root"},
	{"ssh-host-key/id_ed25519", "/run/secrets/ssh-host-key.id_ed25519", "400", "root", "root"},
	{"e2e/phrase", "/run/secrets/e2e.phrase", "440", "crs58", "users"},
	{"root-password/hash", "/run/secrets-for-users/root-password.hash", "400", "root", "root"},
}

// wantSecrets checks owner, mode, content and place of a machine's secrets.
func (d *demo) wantSecrets(t *testing.T, machine string) {
	t.Helper()
	h := d.hosts[machine]
	for _, s := range secretFiles {
		want := s.mode + " " + s.owner + " " + s.group
		if got := on(t, h, "stat", "-L", "-c", "%a %U %G", s.path); got != want {
			t.Errorf("%s: %s is %s, want %s", machine, s.path, got, want)
		}
		content, err := h.ReadFile(s.path)
		if err != nil {
			t.Errorf("%s: %v", machine, err)
			continue
		}
		if string(content) != string(d.secrets[machine+"/"+s.value]) {
			t.Errorf("%s: %s does not hold what `fleet vars get` gives", machine, s.path)
		}
	}
	for _, dir := range []string{"/run/secrets", "/run/secrets-for-users"} {
		if kind := on(t, h, "stat", "-f", "-c", "%T", dir+"/"); kind != "ramfs" && kind != "tmpfs" {
			t.Errorf("%s: %s lies on %s", machine, dir, kind)
		}
		if kind := on(t, h, "findmnt", "--noheadings", "--output", "FSTYPE", dir+".d"); kind != "ramfs" && kind != "tmpfs" {
			t.Errorf("%s: %s.d is no file system of its own: %q", machine, dir, kind)
		}
		names := on(t, h, "ls", "-A", dir+"/")
		for name := range strings.FieldsSeq(names) {
			if strings.Contains(name, "password.password") || strings.HasPrefix(name, "ssh-ca") {
				t.Errorf("%s: %s/%s is a secret for administrators only", machine, dir, name)
			}
		}
	}
	if got := on(t, h, "stat", "-c", "%a %u %g", "/var/lib/sops-nix/key.txt", "/var/lib/sops-nix"); got != "600 0 0\n700 0 0" {
		t.Errorf("%s: the age key and its folder are %q", machine, got)
	}
	if key, err := h.ReadFile("/var/lib/sops-nix/key.txt"); err != nil || !strings.Contains(string(key), "AGE-SECRET-KEY-1") {
		t.Errorf("%s: its age key: %d bytes, %v", machine, len(key), err)
	}
}

// wantMachine checks what the demo declares for every server.
func (d *demo) wantMachine(t *testing.T, machine string) {
	t.Helper()
	h := d.hosts[machine]
	if got := on(t, h, "hostname"); got != machine {
		t.Errorf("%s is called %q", machine, got)
	}
	for file, wants := range map[string][]string{
		"/etc/hostname":                       {machine + "\n"},
		"/etc/systemd/system/metrics.service": {"Description=Pretends to send metrics", "ExecStart=/nix/store/"},
		"/etc/systemd/system/multi-user.target.wants/metrics.service": {"ExecStart=/nix/store/"},
		"/etc/ssh/sshd_config.d/50-nixos.conf":                        {"HostKey /run/secrets/ssh-host-key.id_ed25519"},
		"/etc/ssh/host-cert.pub":                                      {"ssh-ed25519-cert-v01@openssh.com "},
		"/etc/passwd":                                                 {"crs58:x:1000:100:"},
		"/etc/shadow":                                                 {"root:" + string(d.secrets[machine+"/root-password/hash"]) + ":"},
		"/boot/fleet-default":                                         {"-nixos-system-" + machine + "-"},
	} {
		content, err := h.ReadFile(file)
		if err != nil {
			t.Errorf("%s: %v", machine, err)
		}
		for _, want := range wants {
			if !strings.Contains(string(content), want) {
				t.Errorf("%s: %s lacks %q:\n%s", machine, file, want, content)
			}
		}
	}
	if systemd(h) {
		for _, unit := range []string{"metrics.service", "nixos-boot.service"} {
			state, _, _ := h.Exec(t.Context(), "systemctl", "is-enabled", unit)
			if strings.TrimSpace(state) != "enabled" {
				t.Errorf("%s: %s is %s", machine, unit, state)
			}
		}
		if state, _, code := h.Exec(t.Context(), "systemctl", "is-active", "metrics.service"); code != 0 {
			t.Errorf("%s: metrics.service is %s", machine, state)
		}
		token := d.secrets[machine+"/metrics/token"]
		if log := on(t, h, "journalctl", "--quiet", "--no-pager", "--output=cat", "--unit=metrics.service"); !strings.Contains(log, fmt.Sprintf("a token of %d characters", len(token))) {
			t.Errorf("%s: metrics.service did not read its token:\n%s", machine, log)
		}
	}
}

// systemd tells the full hosts from the light ones.
func systemd(h *testhost.Host) bool { return exists(h, "/run/systemd/system") }

// stalling is a nix-daemon that lets something through and then, while the host
// has /run/e2e-stall, nothing any more. (The true keeps the shell, and with it
// the pipe: without a writer the daemon would take its client for gone.)
const stalling = `#!/bin/sh
if [ "$1" = --stdio ] && [ -e /run/e2e-stall ]; then
  { dd bs=65536 count=60 2>/dev/null; touch /run/e2e-stalled; cat >/dev/null; true; } | /usr/lib/e2e/nix-daemon "$@"
  exit
fi
exec /usr/lib/e2e/nix-daemon "$@"
`

// stall makes the next copy to a full host stop in its middle.
func stall(t *testing.T, h *testhost.Host) {
	t.Helper()
	on(t, h, "sh", "-ec", "mkdir -p /usr/lib/e2e; ln -sf /usr/bin/nix /usr/lib/e2e/nix-daemon; rm -f /usr/bin/nix-daemon; touch /run/e2e-stall")
	if err := h.WriteFile("/usr/bin/nix-daemon", []byte(stalling), os.FileMode(0o755)); err != nil {
		t.Fatal(err)
	}
}

// testHostKey lets a host take the key that the fleet made for it, as a real
// NixOS does after its first deploy: known_hosts, which has the old one, is no
// obstacle then, and no other key is taken.
func (d *demo) testHostKey(t *testing.T) {
	host := d.hosts["cinnabar"]
	const key = "/etc/ssh/ssh_host_ed25519_key"
	before, err := host.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	own, err := host.ReadFile("/run/secrets/ssh-host-key.id_ed25519")
	if err != nil {
		t.Fatal(err)
	}
	use := func(data []byte) {
		t.Helper()
		host.KillSSHD()
		if err := host.WriteFile(key, data, 0o600); err != nil {
			t.Fatal(err)
		}
		host.StartSSHD()
	}
	use(own)
	d.must(t, "machines", "status", "cinnabar")
	use(before)
	d.must(t, "machines", "status", "cinnabar")
}
