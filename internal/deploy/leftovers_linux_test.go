package deploy_test

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

// leavesNothing has the test's end check, when its deployers are closed, that
// nothing of them is left: no process, unit or file on the hosts, no process and
// no temporary file here. It is called when the hosts are there, before the first
// deployer is made. What ends with a connection is waited for: the host learns
// of its end when the line is there again, if it was cut, and not before.
func leavesNothing(t *testing.T, x *counted, hosts ...*testhost.Host) {
	t.Helper()
	t.Cleanup(func() {
		vanishes(t, "here", x.leftovers)
		for _, h := range hosts {
			vanishes(t, h.Name, func() []string { return append(hostProcesses(h), hostFiles(h)...) })
		}
	})
}

// vanishes waits until nothing is left.
func vanishes(t *testing.T, where string, leftovers func() []string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for left := leftovers(); len(left) > 0; left = leftovers() {
		if time.Now().After(deadline) {
			t.Errorf("%s is left:\n%s", where, strings.Join(left, "\n"))
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// leftovers are what the deploys of a test have made and started here. All that
// they start has their TMPDIR; a builder, which has not, a derivation of the test.
func (c *counted) leftovers() (left []string) {
	left, _ = filepath.Glob(filepath.Join(c.tmp, "*"))
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		environ, _ := os.ReadFile(p + "/environ") // it may be gone, or a zombie
		if strings.Contains(string(environ), filepath.Dir(c.tmp)+"/") {
			args, _ := os.ReadFile(p + "/cmdline")
			left = append(left, p+" "+strings.ReplaceAll(string(args), "\x00", " "))
		}
	}
	return left
}

// hostProcesses are the processes of a host that are not its own: outside of the
// services of its systemd, or in those that a deploy or a connection has made.
func hostProcesses(h *testhost.Host) (left []string) {
	const list = "ps -eo pid,unit,args --no-headers"
	out, said, code := h.Exec(context.Background(), strings.Fields(list)...)
	if code != 0 {
		return []string{fmt.Sprintf("%s: exit status %d: %s", list, code, said)}
	}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		pid, unit, args := f[0], f[1], strings.Join(f[2:], " ")
		switch {
		case pid == "1", args == list, strings.HasPrefix(args, "sshd: ") && strings.Contains(args, "[listener]"):
		case unit == "-", unit == "ssh.service", strings.HasPrefix(unit, "fleet-"), strings.HasPrefix(unit, "session-"), strings.HasPrefix(unit, "run-"):
			left = append(left, strings.TrimSpace(line))
		}
	}
	return left
}

// hostFiles are the files and units that a host has only as long as it is
// deployed to.
func hostFiles(h *testhost.Host) []string {
	out, said, code := h.Exec(context.Background(), "sh", "-c", `
		find /run/fleet /nix/var/nix/gcroots/fleet -mindepth 1 2>/dev/null
		for path in /var/lib/fleet/current /etc/systemd/system.control; do
			[ ! -e "$path" ] || echo "$path"
		done
		[ ! -d /run/systemd/system ] || systemctl list-units --all --plain --no-legend 'fleet-*'`)
	if code != 0 {
		return []string{fmt.Sprintf("looking at its files: exit status %d: %s", code, said)}
	}
	return strings.FieldsFunc(out, func(r rune) bool { return r == '\n' })
}
