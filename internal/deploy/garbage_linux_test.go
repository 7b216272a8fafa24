package deploy_test

import (
	"context"
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/testhost"
)

// A system that waits on a machine for its turn is no garbage there, for as long
// as its run is there.
func TestGarbageCollectedMeanwhile(t *testing.T) {
	n := testhost.NewNetwork(t)
	h := testhost.Light(t, n, testhost.Options{Name: "late"})
	on(t, h, "nix-store", "--init")
	x := newNix(t)
	leavesNothing(t, x, h)
	tops := flakeOf(t, x, map[string]system{"first": {version: "1"}, "second": {version: "2"}})
	update := func(system string, copied func(cancel func())) *deploy.Summary {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		events := &recorder{hook: func(e deploy.Event) {
			if e.Phase == deploy.Copy && e.State == deploy.Done {
				copied(cancel)
			}
		}}
		return newDeployer(t, sshOptions(x, events, n)).Update(ctx, []deploy.Machine{machine("late", flake.NixOS, "ssh://late", tops[system])})
	}
	collect := func() {
		// As long as there is a daemon it is what keeps the system.
		wait(t, func() bool { return !strings.Contains(on(t, h, "ps", "-e", "-o", "args"), "nix-daemon --stdio") })
		on(t, h, "nix-store", "--gc")
	}

	collected := false
	wantState(t, update("first", func(func()) {
		collected = true
		collect()
	}), "late", deploy.Done)
	if !collected {
		t.Error("no garbage was collected")
	}

	// Of a run that did not give the machine back, nothing is kept.
	wantState(t, update("second", func(cancel func()) {
		h.Kill()
		must(t, h.Start())
		cancel()
	}), "late", deploy.Interrupted)
	on(t, h, "ls", tops["second"].OutPath)
	collect()
	if _, err := h.Stat(tops["second"].OutPath); err == nil {
		t.Error("a run that is dead keeps its system")
	}
	wantState(t, update("second", func(func()) {}), "late", deploy.Done)
}
