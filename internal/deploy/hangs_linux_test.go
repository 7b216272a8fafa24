package deploy_test

import (
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
	h := testhost.Light(t, n, testhost.Options{Name: "looked-at"})
	put(t, h, "/run/current-system/sw/bin/nix-daemon", []byte("#!/bin/sh\nkill -STOP $$\n"), 0o755)
	x := newNix(t)
	leavesNothing(t, x, h)
	o := sshOptions(x, &recorder{}, n)
	o.Timeouts.Reach = 3 * time.Second
	tops := flakeOf(t, x, map[string]system{"looked-at": {version: "1"}})
	summary := newDeployer(t, o).Update(t.Context(), []deploy.Machine{machine("looked-at", flake.NixOS, "ssh://looked-at", tops["looked-at"])})
	wantState(t, summary, "looked-at", deploy.Failed, "something hangs on the machine: it lets us in, but does not tell within 3s how it is", "ssh looked-at true")
	if summary.ExitCode() != 1 {
		t.Errorf("exit code %d, want 1", summary.ExitCode())
	}
	if got := on(t, h, "sh", "-c", "ls -A /nix/store /nix/var/nix/profiles /var/lib/fleet /etc/version 2>/dev/null || true"); strings.Contains(got, "system") {
		t.Errorf("it was changed: %s", got)
	}
}
