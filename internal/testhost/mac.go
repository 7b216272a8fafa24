package testhost

import (
	"embed"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

//go:embed mac
var macPrograms embed.FS

// Macs makes light hosts that stand for Macs with a single Nix and no system yet.
// Whoever comes by SSH, and a daemon that is started at boot, find what such a Mac
// has and nothing else: its PATH, its programs, without what GNU's know beside
// that, bash as /bin/sh, launchd's folder, and a sudo that asks everybody of the
// group admin, which [Options.Users] are in. What [Host.Exec] runs finds the
// programs of Linux.
//
// Of what happens there these files tell and decide: /var/log/activations has the
// calls of nix-env and caffeinate and what launchd started, /var/log/sudo the options
// of sudo, /var/log/refused the options that no Mac knows, /var/db/jobs is what
// launchctl tells, /var/db/ahead by how many seconds the clock is wrong, /var/db/held
// whether nix-env waits, yes or no, and where /var/db/protected exists, apps and users
// may not be changed over SSH.
func Macs(t testing.TB, n *Network, opts ...Options) []*Host {
	t.Helper()
	return makeAll(t, n, mac{}, opts)
}

// mac is a light host behind a Mac's programs.
type mac struct{ light }

const macPath = "/usr/bin:/bin:/usr/sbin:/sbin"

// bsdTools are the programs of Linux that do for a Mac behind what looks through
// their options; plainTools do as they are.
const (
	bsdTools = "basename cat chmod chown cp cut date df dirname find grep head id ln ls mkdir mktemp mv ps readlink " +
		"rm rmdir sed shasum sleep sort stat sync tail touch tr uname uniq wc"
	plainTools = "awk bash env expr false hostname kill printf test true xargs"
)

func (mac) prepare(h *Host) error {
	if err := (light{}).prepare(h); err != nil {
		return err
	}
	_, nix, err := projectNix()
	if err != nil {
		return err
	}
	nix = filepath.Dir(nix)
	if nix == "/usr/bin" {
		nix = "/opt/linux/bin"
	}
	h.path = strings.Join([]string{"/opt/linux/bin", "/opt/linux/sbin", nix}, ":")

	const profile = "nix/var/nix/profiles/default/bin"
	links := map[string]string{
		"opt/mac/bin/sh": "/opt/linux/bin/bash", "opt/mac/sbin/sshd": "/opt/linux/sbin/sshd",
		"opt/nix": nix,
	}
	for _, tool := range strings.Fields(bsdTools) {
		links["opt/mac/bin/"+tool] = "/opt/mac/bsd"
	}
	for _, tool := range strings.Fields(plainTools) {
		real, err := filepath.EvalSymlinks("/usr/bin/" + tool) // some lead through /etc, which the host has not
		if err != nil {
			return err
		}
		links["opt/mac/bin/"+tool] = "/opt/linux/bin/" + filepath.Base(real)
	}
	for _, tool := range []string{"nix", "nix-daemon", "nix-store"} {
		links[path.Join(profile, tool)] = "/opt/nix/" + tool
	}
	places := map[string]string{
		"rc.sh": "etc/rc.sh", "bsd": "opt/mac/bsd", "launchd": "opt/mac/launchd", "sysctl": "opt/mac/sbin/sysctl",
		"nix-env": path.Join(profile, "nix-env"),
	}
	programs, err := macPrograms.ReadDir("mac")
	if err != nil {
		return err
	}
	for _, p := range programs {
		place, ok := places[p.Name()]
		if !ok {
			place = "opt/mac/bin/" + p.Name()
		}
		text, err := macPrograms.ReadFile("mac/" + p.Name())
		if err != nil {
			return err
		}
		if err := h.writeDisk(place, string(text), 0o755); err != nil {
			return err
		}
	}
	for link, to := range links {
		if err := os.MkdirAll(filepath.Join(h.disk(), filepath.Dir(link)), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(to, filepath.Join(h.disk(), link)); err != nil {
			return err
		}
	}
	if err := os.Remove(filepath.Join(h.disk(), "var/lib")); err != nil {
		return err
	}
	for _, dir := range []string{"Library/LaunchDaemons", "Applications"} {
		if err := os.MkdirAll(filepath.Join(h.disk(), dir), 0o755); err != nil {
			return err
		}
	}
	admins := "admin:x:80:root"
	for _, u := range h.users {
		admins += "," + u.Name
	}
	for _, f := range []struct {
		path, content string
		mode          os.FileMode
	}{
		{"etc/group", "wheel:x:0:root\n" + admins + "\nstaff:x:20:\nusers:x:100:\nnogroup:x:65534:\n", 0o644},
		{"etc/sudoers", "Defaults env_reset, !secure_path\nroot ALL = (ALL) ALL\n%admin ALL = (ALL) ALL\n", 0o440},
		{"etc/ssh/sshd_config", strings.Replace(sshdConfig(h), "PATH="+h.path, "PATH="+macPath, 1), 0o644},
		{"var/log/activations", "", 0o666},
		{"var/log/sudo", "", 0o666},
		{"var/log/refused", "", 0o666},
		{"var/db/jobs", "", 0o644},
		{"var/db/ahead", "0\n", 0o644},
		{"var/db/held", "no\n", 0o644},
	} {
		if err := h.writeDisk(f.path, f.content, f.mode); err != nil {
			return err
		}
	}
	return nil
}
