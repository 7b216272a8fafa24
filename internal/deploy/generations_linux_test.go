package deploy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/testhost"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// told is what a system says of itself, as NixOS and nix-darwin lay it out.
const (
	toldByNixOS  = `$b mkdir -p $out/sw/bin; printf 25.11.20260101 > $out/nixos-version; echo "echo '{\"nixosVersion\":\"25.11\",\"configurationRevision\":\"0123456789abcdef-dirty\"}'" > $out/sw/bin/nixos-version`
	toldByDarwin = `$b mkdir -p $out; echo 26.05 > $out/darwin-version; echo '{"darwinRevision": "9", "configurationRevision": "fedcba"}' > $out/darwin-version.json`
)

func TestGenerations(t *testing.T) {
	n := testhost.NewNetwork(t)
	host := testhost.Light(t, n, testhost.Options{Name: "host"})
	x, folder := newNix(t), t.TempDir()
	d := newDeployer(t, sshOptions(x, &recorder{}, n))
	var tops []string
	var machines []deploy.Machine
	for _, s := range []system{{version: "1", build: toldByNixOS}, {version: "2", build: toldByDarwin}} {
		top := flakeOf(t, x, map[string]system{"host": s})["host"]
		tops = append(tops, top.OutPath)
		machines = []deploy.Machine{machine("folder", flake.NixOS, "root:"+folder+"/host", top), machine("host", flake.NixOS, "ssh://host", top)}
		if summary := d.Update(t.Context(), machines); summary.ExitCode() != 0 {
			t.Fatalf("%v", summary.Err())
		}
	}
	// What people and half-done work leave among the generations.
	on(t, host, "sh", "-c", `cd /nix/var/nix/profiles
ln -s /nix/store/gone system-7-link; ln -s /nix/store/x system-x-link; echo > system-8-link; ln -s system-1-link systemd-3-link`)

	want := deploy.Generations{System: tops[1], List: []deploy.Generation{
		{Number: 1, System: tops[0], Version: "25.11.20260101", Revision: "0123456789abcdef-dirty"},
		{Number: 2, System: tops[1], Version: "26.05", Revision: "fedcba", Current: true, Running: true},
		{Number: 7, System: "/nix/store/gone", Gone: true},
	}}
	inFolder := deploy.Generations{System: tops[1], List: []deploy.Generation{want.List[0], want.List[1]}}
	inFolder.List[0].Revision, inFolder.List[1].Revision = "", ""
	for _, m := range d.Generations(t.Context(), machines) {
		wanted := want
		if m.Machine == "folder" {
			wanted = inFolder
		}
		if diff := cmp.Diff(wanted, m.Generations, cmpopts.IgnoreFields(deploy.Generation{}, "Created")); m.State != deploy.Done || diff != "" {
			t.Errorf("%s: %+v\n%s", m.Machine, m.Result, diff)
		}
		for _, g := range m.List {
			if age := time.Since(g.Created); age < -time.Minute || age > time.Hour {
				t.Errorf("%s: generation %d was made at %s", m.Machine, g.Number, g.Created)
			}
		}
	}
	if left := on(t, host, "sh", "-c", "ls /run/fleet"); strings.TrimSpace(left) != "" {
		t.Errorf("it left %q", left)
	}
}
