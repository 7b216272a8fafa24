package deploy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/testhost"
)

// A machine on which something hangs is given up in time, it is said why, and
// what hangs is killed there.
func TestHangs(t *testing.T) {
	n := testhost.NewNetwork(t)
	hosts := testhost.Lights(t, n, testhost.Options{Name: "looked-at"}, testhost.Options{Name: "copied-to"})
	x := newNix(t)
	leavesNothing(t, x, hosts...)
	tops := flakeOf(t, x, map[string]system{"looked-at": {version: "1"}, "copied-to": {version: "1"}})
	var machines []deploy.Machine
	for i, program := range []string{"launchctl", "nix-daemon"} {
		put(t, hosts[i], "/run/current-system/sw/bin/"+program, []byte("#!/bin/sh\nkill -STOP $$\n"), 0o755)
		machines = append(machines, machine(hosts[i].Name, flake.NixOS, "ssh://"+hosts[i].Name, tops[hosts[i].Name]))
	}
	o := sshOptions(x, &recorder{}, n)
	o.Timeouts.Reach = 3 * time.Second
	summary := newDeployer(t, o).Update(t.Context(), machines)
	wantState(t, summary, "looked-at", deploy.Failed, "something hangs on the machine: it lets us in, but does not tell within 3s how it is", "ssh looked-at true")
	wantState(t, summary, "copied-to", deploy.Failed, "something hangs there: its Nix daemon says nothing within 6s", "ssh copied-to pgrep -a nix")
	if summary.ExitCode() != 1 {
		t.Errorf("exit code %d, want 1", summary.ExitCode())
	}
	for _, h := range hosts {
		if got := on(t, h, "sh", "-c", "ls -A /nix/store /nix/var/nix/profiles /var/lib/fleet /etc/version 2>/dev/null || true"); strings.Contains(got, "system") {
			t.Errorf("it was changed: %s", got)
		}
	}
}

// So is a build host: one that starts no session, and one whose Nix daemon greets
// and then says nothing more.
func TestHangsOnBuildHost(t *testing.T) {
	n := testhost.NewNetwork(t)
	hosts := testhost.Lights(t, n, testhost.Options{Name: "session"}, testhost.Options{Name: "daemon"})
	put(t, hosts[0], "/root/.ssh/rc", []byte("exec sleep 600\n"), 0o755)
	program := on(t, hosts[1], "sh", "-c", "command -v nix-daemon")
	put(t, hosts[1], "/run/current-system/sw/bin/nix-daemon", fmt.Appendf(nil, `#!/bin/sh
{ dd bs=1 count=200 2>/dev/null; exec sleep 600; } | %s --stdio
`, program), 0o755)
	x := newNix(t)
	tops := flakeOf(t, x, map[string]system{"session": {version: "1"}, "daemon": {version: "1"}})
	var machines []deploy.Machine
	for _, h := range hosts {
		m := machine(h.Name, flake.NixOS, "ssh://client", tops[h.Name])
		m.BuildHost = "ssh://" + h.Name
		machines = append(machines, m)
	}
	o := sshOptions(x, &recorder{}, n)
	o.Goal, o.Timeouts.Reach, o.Timeouts.Stall = deploy.JustBuild, 3*time.Second, 3*time.Second
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	summary := newDeployer(t, o).Update(ctx, machines)
	wantState(t, summary, "session", deploy.Failed, "reach the build host: something hangs there: it lets us in, but does not tell within 3s where its Nix is")
	wantState(t, summary, "daemon", deploy.Failed, "hand the derivation of "+tops["daemon"].OutPath+" to ssh://daemon: nothing moves any more (for 3s)")
}
