package deploy_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
)

// A plan says of each machine what the run does to it, and when.
func TestPlanIsTheRun(t *testing.T) {
	x, folder := newNix(t), t.TempDir()
	tops := flakeOf(t, x, map[string]system{"explicit": {version: "1"}, "staged": {version: "1"}, "new": {version: "1"}, "same": {version: "1"}, "taken": {version: "1"}})
	machines := map[string]deploy.Machine{}
	for name, top := range tops {
		machines[name] = machine(name, flake.NixOS, "root:"+folder+"/"+name, top)
	}
	explicit := machines["explicit"]
	explicit.Details.RequireExplicitUpdate, explicit.Unnamed = true, true
	o := options(x, &recorder{})
	update := func(m deploy.Machine) deploy.Result {
		return newDeployer(t, o).Update(t.Context(), []deploy.Machine{m}).Results[0]
	}
	o.Goal = deploy.Boot
	for _, name := range []string{"staged", "same"} {
		if r := update(machines[name]); r.State != deploy.Done {
			t.Fatalf("%+v", r)
		}
	}
	same := machines["same"]
	if err := os.MkdirAll(folder+"/same/run", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, link := range []string{"current-system", "booted-system"} {
		if err := os.Symlink(tops["same"].OutPath, folder+"/same/run/"+link); err != nil {
			t.Fatal(err)
		}
	}

	if err := os.MkdirAll(folder+"/taken/run/fleet", 0o700); err != nil {
		t.Fatal(err)
	}
	lease, err := os.Create(folder + "/taken/run/fleet/lease")
	if err == nil {
		_, err = lease.WriteString("ann@one\n")
	}
	if err == nil {
		err = syscall.Flock(int(lease.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Close()

	// A folder is not restarted: that shows in the plan, before anything is made.
	o.Reboot = true
	for _, name := range []string{"new", "staged"} {
		step := newDeployer(t, o).Plan(t.Context(), []deploy.Machine{machines[name]}).Steps[0]
		if want := "is a folder, which cannot be restarted"; !strings.Contains(step.Error, want) || update(machines[name]).Message != step.Error {
			t.Errorf("%s: %s, want %q", name, step.Error, want)
		}
		if next := update(machines[name]).Next; next != "fleet machines update --goal boot "+name {
			t.Errorf("%s: next %s", name, next)
		}
	}
	if step := newDeployer(t, o).Plan(t.Context(), []deploy.Machine{same}).Steps[0]; !step.Unchanged() {
		t.Errorf("what needs no restart: %s", step.Text())
	}
	if _, err := os.Stat(folder + "/new"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that is not restarted was made: %v", err)
	}

	o.Reboot, o.Goal, o.Batches = false, deploy.Switch, []deploy.Batch{{Count: 1}, {Rest: true}}
	list := []deploy.Machine{same, machines["staged"], explicit, machines["new"], machines["taken"]}
	want := []struct {
		name  string
		turn  int
		text  string
		state deploy.State
		said  string
	}{
		{"explicit", 0, "unchanged (is updated only when it is named)", deploy.Unchanged, "is updated only when it is named"},
		{"new", 1, "activate ", deploy.Done, ""},
		{"same", 0, "unchanged", deploy.Unchanged, ""},
		{"staged", 2, "activate ", deploy.Done, ""},
		{"taken", 0, "is under way, begun by ann@one ", deploy.Failed, "fleet machines status taken"},
	}
	plan := newDeployer(t, o).Plan(t.Context(), list)
	summary := newDeployer(t, o).Update(t.Context(), list)
	for i, s := range plan.Steps {
		w := want[i]
		if s.Machine != w.name || s.Turn != w.turn || !strings.Contains(s.Text(), w.text) || s.Unchanged() != (w.state == deploy.Unchanged) {
			t.Errorf("%s has turn %d of the plan: %s; want %+v", s.Machine, s.Turn, s.Text(), w)
		}
		wantState(t, summary, w.name, w.state, w.said)
	}
	if _, err := os.Stat(folder + "/explicit"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a machine that nobody named was touched: %v", err)
	}
	explicit.Unnamed = false
	if r := update(explicit); r.State != deploy.Done {
		t.Errorf("named, it is %+v", r)
	}
}
