package deploy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/testhost"
)

// A rollback is a deploy of a generation: what runs, the profile and the boot
// loader go back together, or nothing does.
func TestRollback(t *testing.T) {
	n := testhost.NewNetwork(t)
	full := testhost.Fulls(t, n, testhost.Options{Name: "good"}, testhost.Options{Name: "cuts-itself"})
	light := testhost.Lights(t, n, testhost.Options{Name: "vanishes"}, testhost.Options{Name: "moves"}, testhost.Options{Name: "mac"})
	const again = "[ ! -e /etc/version ] || " // at the second activation of a system
	x := newNix(t)
	leavesNothing(t, x, append(full, light...)...)
	first := map[string]system{
		"good": {version: "1"}, "cuts-itself": {version: "1", before: again + linkDown}, "moves": {version: "1"}, "mac": {version: "1", class: flake.Darwin},
		"vanishes": {version: "1", before: again + "rm /nix/var/nix/profiles/system-1-link"},
	}
	second := map[string]system{}
	for name, s := range first {
		second[name] = system{version: "2", class: s.class, before: map[bool]string{true: linkUp}[name == "cuts-itself"]}
	}
	tops := [2]map[string]flake.Derivation{flakeOf(t, x, first), flakeOf(t, x, second)}
	o := sshOptions(x, &recorder{}, n)
	o.Timeouts = deploy.Timeouts{Confirm: 3 * time.Second, Activate: 20 * time.Second}
	d := newDeployer(t, o)
	var machines []deploy.Machine
	for i := range tops {
		machines = nil
		for name, top := range tops[i] {
			class := first[name].class
			if class == "" {
				class = flake.NixOS
			}
			machines = append(machines, machine(name, class, "ssh://"+name, top))
		}
		if summary := d.Update(t.Context(), machines); summary.Count(deploy.Done) != len(machines) {
			t.Fatalf("%v", summary.Err())
		}
	}

	plan := d.PlanRollback(t.Context(), machines, 0)
	for _, s := range plan.Steps {
		if s.Err != nil || !s.Change || s.From.Number != 2 || s.To.Number != 1 || s.To.System != tops[0][s.Machine].OutPath {
			t.Errorf("the plan of %s: %+v", s.Machine, s)
		}
	}
	for _, h := range append(full, light...) {
		if got := on(t, h, "readlink", "/nix/var/nix/profiles/system"); got != "system-2-link" {
			t.Errorf("planning has brought %s to %s", h.Name, got)
		}
	}
	// Somebody makes a generation between the plan and its run.
	on(t, light[1], "nix-env", "--profile", "/nix/var/nix/profiles/system", "--set", tops[0]["moves"].OutPath)

	summary := d.Rollback(t.Context(), plan)
	wantState(t, summary, "good", deploy.Done, "it is at generation 1")
	wantState(t, summary, "mac", deploy.Done, "it is at generation 1")
	wantState(t, summary, "cuts-itself", deploy.RolledBack, "not confirmed within 3s", "back on generation 2")
	wantState(t, summary, "vanishes", deploy.RolledBack, "could not be made the one that is booted", "back on generation 2", "fleet machines generations vanishes")
	wantState(t, summary, "moves", deploy.Failed, "it was at generation 2 and is at generation 3 now")
	if summary.ExitCode() != 3 {
		t.Errorf("exit code %d, want 3", summary.ExitCode())
	}
	wantStanding(t, full[0], tops[0]["good"].OutPath, "system-1-link", "1")
	wantStanding(t, full[1], tops[1]["cuts-itself"].OutPath, "system-2-link", "2")
	for _, h := range light {
		want := map[string][2]string{"vanishes": {"2", "system-2-link"}, "moves": {"2", "system-3-link"}, "mac": {"1", "system-1-link"}}[h.Name]
		if got := on(t, h, "cat", "/etc/version"); got != want[0] {
			t.Errorf("%s is at version %s, want %s", h.Name, got, want[0])
		}
		if got := on(t, h, "readlink", "/nix/var/nix/profiles/system"); got != want[1] {
			t.Errorf("%s is at %s, want %s", h.Name, got, want[1])
		}
		if left := on(t, h, "sh", "-c", "cat /var/lib/fleet/current 2>/dev/null; ls -A /run/fleet"); left != "" {
			t.Errorf("%s keeps %q", h.Name, left)
		}
	}
	if log := on(t, light[2], "cat", "/var/log/activations"); strings.Count(log, tops[0]["mac"].OutPath+"/activate") != 2 {
		t.Errorf("mac was activated by %q", log)
	}

	// And forward again, by its number.
	plan = d.PlanRollback(t.Context(), []deploy.Machine{{Name: "good", Class: flake.NixOS, Address: "ssh://good"}}, 2)
	wantState(t, d.Rollback(t.Context(), plan), "good", deploy.Done, "it is at generation 2")
	wantStanding(t, full[0], tops[1]["good"].OutPath, "system-2-link", "2")
	plan = d.PlanRollback(t.Context(), []deploy.Machine{{Name: "good", Class: flake.NixOS, Address: "ssh://good"}}, 2)
	wantState(t, d.Rollback(t.Context(), plan), "good", deploy.Unchanged, "it is at generation 2 already")
}

// What refuses to be activated leaves the machine as it is; what changed something
// before it gave up does not, and no check of the system of before is in its way.
func TestRefused(t *testing.T) {
	const begin = "mkdir -p /run/nixos; echo a.service > /run/nixos/start-list; "
	cases := map[string]struct {
		first, second system
		state         deploy.State
		text          string
	}{
		"checks":  {second: system{before: "echo not today; exit 1"}, state: deploy.Failed, text: "nothing was changed"},
		"locked":  {second: system{before: begin + "exit 11"}, state: deploy.Failed, text: "another activation is under way"},
		"halfway": {second: system{before: begin + "exit 1"}, state: deploy.RolledBack, text: "back on generation 1"},
		"strict": {
			first:  system{before: `[ ! -e /run/second ] || [ "$NIXOS_NO_CHECK" = 1 ] || exit 1`},
			second: system{before: "touch /run/second", after: "exit 2"}, state: deploy.RolledBack, text: "back on generation 1",
		},
	}
	n, folder, x := testhost.NewNetwork(t), t.TempDir(), newNix(t)
	var hosts []testhost.Options
	first, second, addresses := map[string]system{}, map[string]system{}, map[string]string{}
	for name, c := range cases {
		hosts = append(hosts, testhost.Options{Name: name})
		c.first.version, c.second.version = "1", "2"
		first[name], second[name], addresses[name] = c.first, c.second, "ssh://"+name
		name += "-folder"
		first[name], second[name], addresses[name] = c.first, c.second, "root:"+folder+"/"+name
	}
	testhost.Lights(t, n, hosts...)
	d := newDeployer(t, sshOptions(x, &recorder{}, n))
	update := func(systems map[string]system) *deploy.Summary {
		var machines []deploy.Machine
		for name, top := range flakeOf(t, x, systems) {
			machines = append(machines, machine(name, flake.NixOS, addresses[name], top))
		}
		return d.Update(t.Context(), machines)
	}
	if summary := update(first); summary.Count(deploy.Done) != len(first) {
		t.Fatalf("%v", summary.Err())
	}
	summary := update(second)
	for name, c := range cases {
		wantState(t, summary, name, c.state, c.text)
		wantState(t, summary, name+"-folder", c.state, c.text)
	}
}
