package deploy_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/testhost"
)

// Systems are built on a host of their own or on the machine itself; nothing of
// them is left here.
func TestBuildElsewhere(t *testing.T) {
	n := testhost.NewNetwork(t)
	byName := map[string]*testhost.Host{}
	for _, h := range testhost.Lights(t, n, testhost.Options{Name: "builder"}, testhost.Options{Name: "client"}, testhost.Options{Name: "self"}, testhost.Options{Name: "broken"}) {
		byName[h.Name] = h
	}
	x := newNix(t)
	leavesNothing(t, x, slices.Collect(maps.Values(byName))...)
	tops := flakeOf(t, x, map[string]system{
		"client": {version: "1"}, "self": {version: "1"}, "builder": {version: "1"}, "broken": {version: "1", build: "echo no paper >&2; exit 1"},
	})
	var machines []deploy.Machine
	for _, name := range []string{"client", "self", "builder", "broken"} {
		m := machine(name, flake.NixOS, "ssh://"+name, tops[name])
		m.BuildHost = "ssh://builder"
		if name == "self" {
			m.BuildHost = "ssh://self"
		}
		machines = append(machines, m)
	}
	folder := machine("folder", flake.NixOS, "root:"+t.TempDir(), tops["client"])
	folder.BuildHost = "ssh://builder"
	machines = append(machines, folder)
	events := &recorder{}
	d := newDeployer(t, sshOptions(x, events, n))
	for _, s := range d.Plan(t.Context(), machines).Steps {
		want := "ssh://builder"
		if s.Machine == "self" {
			want = "ssh://self"
		}
		if s.Machine != "folder" && (s.BuildHost != want || s.Err != nil) {
			t.Errorf("the plan of %s: %+v", s.Machine, s)
		}
	}
	summary := d.Update(t.Context(), machines)
	for _, name := range []string{"client", "self", "builder"} {
		wantState(t, summary, name, deploy.Done)
		if got := on(t, byName[name], "readlink", "/run/current-system"); got != tops[name].OutPath {
			t.Errorf("%s runs %s", name, got)
		}
		if _, err := os.Stat(tops[name].OutPath); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the system of %s is here: %v", name, err)
		}
	}
	wantState(t, summary, "broken", deploy.Failed, "on ssh://builder", "no paper")
	wantState(t, summary, "folder", deploy.Failed, "build for it here")
	on(t, byName["client"], "nix-store", "--verify", "--check-contents")
	on(t, byName["builder"], "ls", tops["client"].OutPath)

	// The settings of a run go before what machines say.
	o := sshOptions(x, &recorder{}, n)
	o.BuildHost = deploy.Here
	next := flakeOf(t, x, map[string]system{"client": {version: "2"}})["client"]
	m := machine("client", flake.NixOS, "ssh://client", next)
	m.BuildHost = "ssh://builder"
	wantState(t, newDeployer(t, o).Update(t.Context(), []deploy.Machine{m}), "client", deploy.Done)
	if _, err := os.Stat(next.OutPath); err != nil {
		t.Error(err)
	}
	o.BuildHost = "ssh://gone.invalid"
	m = machine("client", flake.NixOS, "ssh://client", tops["client"])
	wantState(t, newDeployer(t, o).Update(t.Context(), []deploy.Machine{m}), "client", deploy.Failed, "reach the build host: ")
}
