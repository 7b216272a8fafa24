package deploy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/testhost"
)

// Whoever looks at a machine that is in the middle of a deploy is told whose it is,
// that it waits, and later that it was cut off.
func TestStatusUnderWay(t *testing.T) {
	n := testhost.NewNetwork(t)
	h := testhost.Light(t, n, testhost.Options{Name: "busy"})
	x := newNix(t)
	leavesNothing(t, x, h)
	machines := []deploy.Machine{machine("busy", flake.NixOS, "ssh://busy", flakeOf(t, x, map[string]system{"busy": {version: "1"}})["busy"])}
	says := func(text string) bool {
		status := newDeployer(t, sshOptions(x, &recorder{}, n)).Status(t.Context(), machines)[0]
		return slices.ContainsFunc(status.Notes, func(note string) bool { return strings.Contains(note, text) })
	}
	waited := false
	o := sshOptions(x, &recorder{hook: func(e deploy.Event) {
		if e.Phase != deploy.Confirm || e.State != deploy.Started {
			return
		}
		waited = true
		if !says("begun by crs58@stibnite ") || !says(", and it waits for the confirmation") {
			t.Error("it is not said that it waits")
		}
		on(t, h, "sh", "-c", "kill -KILL $(cat /run/fleet/*.pid)")
		wait(t, func() bool { return says(" was cut off; the next update settles it") })
	}}, n)
	o.Owner = "crs58@stibnite"
	summary := newDeployer(t, o).Update(t.Context(), machines)
	wantState(t, summary, "busy", deploy.Done)
	if !waited || says("deploy") {
		t.Errorf("it has waited: %t", waited)
	}
}
