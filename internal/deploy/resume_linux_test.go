package deploy_test

import (
	"os"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
)

// A run that is gone on with tries again what has failed, but not what the machine
// itself has refused.
func TestResumeTriesAgain(t *testing.T) {
	x, folder := newNix(t), t.TempDir()
	tops := flakeOf(t, x, map[string]system{
		"first":  {version: "1"},
		"failed": {version: "2", after: "[ -e /mended ] || exit 2"},
		"back":   {version: "2", after: "[ -e /mended ] || exit 2"},
	})
	o := options(x, &recorder{})
	o.Run = "20260102-again"
	at := func(name, top string) deploy.Machine {
		return machine(name, flake.NixOS, "root:"+folder+"/"+name, tops[top])
	}
	wantState(t, newDeployer(t, o).Update(t.Context(), []deploy.Machine{at("back", "first")}), "back", deploy.Done)

	runs, machines := t.TempDir(), []deploy.Machine{at("back", "back"), at("failed", "failed")}
	record, err := deploy.CreateRecord(runs, deploy.Header{ID: o.Run, Started: time.Now(), Machines: []string{"back", "failed"}})
	if err != nil {
		t.Fatal(err)
	}
	o.Record = record
	d := newDeployer(t, o) // which alone knows of an activation in a folder
	summary := d.Update(t.Context(), machines)
	wantState(t, summary, "failed", deploy.Failed, "no earlier system to go back to")
	wantState(t, summary, "back", deploy.RolledBack, "back on generation 1")
	if !summary.Unfinished() {
		t.Error("there is nothing left to do")
	}
	for _, m := range machines {
		if err := os.WriteFile(folder+"/"+m.Name+"/mended", nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	history, err := deploy.ReadRecord(runs, o.Run)
	if err != nil {
		t.Fatal(err)
	}
	summary = d.Resume(t.Context(), history, machines)
	wantState(t, summary, "failed", deploy.Done)
	wantState(t, summary, "back", deploy.RolledBack, "back on generation 1")
	if summary.Unfinished() {
		t.Error("there is something left to do")
	}
	if err := record.Close(time.Now()); err != nil {
		t.Error(err)
	}
}
