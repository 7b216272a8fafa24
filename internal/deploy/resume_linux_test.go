package deploy_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/testhost"
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
	if summary.Resumption() == "" {
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
	if summary.Resumption() != "" {
		t.Error("there is something left to do")
	}
	if err := record.Close(time.Now()); err != nil {
		t.Error(err)
	}
}

// A machine that somebody has changed since a run looked at it is not taken back by
// going on with that run.
func TestResumeMoved(t *testing.T) {
	x, folder, runs := newNix(t), t.TempDir(), t.TempDir()
	tops := flakeOf(t, x, map[string]system{"older": {version: "1"}, "newer": {version: "2"}})
	at := func(top string) []deploy.Machine {
		return []deploy.Machine{machine("moved", flake.NixOS, "root:"+folder+"/moved", tops[top])}
	}
	ctx, cancel := context.WithCancel(t.Context())
	events := &recorder{hook: func(e deploy.Event) {
		if e.Phase == deploy.Copy {
			cancel()
		}
	}}
	o := options(x, events)
	o.Run = deploy.NewRun(o.Now(), o.Random)
	record, err := deploy.CreateRecord(runs, deploy.Header{ID: o.Run, Started: o.Now(), Machines: []string{"moved"}})
	if err != nil {
		t.Fatal(err)
	}
	o.Record = record
	wantState(t, newDeployer(t, o).Update(ctx, at("older")), "moved", deploy.Interrupted)
	must(t, record.Close(o.Now()))
	events.hook = nil
	wantState(t, newDeployer(t, options(x, &recorder{})).Update(t.Context(), at("newer")), "moved", deploy.Done)

	for range 2 { // the second time it remembers still
		record, history, err := deploy.ResumeRecord(runs, o.Run, o.Now())
		if err != nil {
			t.Fatal(err)
		}
		o.Record, o.Found = record, history.Untouched()
		d := newDeployer(t, o)
		wantState(t, d.Resume(t.Context(), history, at("older")), "moved", deploy.Failed, "it was at generation 0 and is at generation 1 now: somebody has changed it meanwhile", "fleet machines update moved")
		if step := d.Plan(t.Context(), at("older")).Steps[0]; step.Err == nil || step.Next != "fleet machines update moved" {
			t.Errorf("the plan says %s, next %q", step.Text(), step.Next)
		}
		must(t, record.Close(o.Now()))
	}
	if got := readLink(t, folder+"/moved/run/current-system"); got != tops["newer"].OutPath {
		t.Errorf("it runs %s", got)
	}
}

// Whoever attaches to a run of a driver that is gone brings it to its end in its
// record too, and tells nobody the key that the activation prints, though he has
// nothing to decrypt it with. Nor does a rollback.
func TestAttachRun(t *testing.T) {
	n := testhost.NewNetwork(t)
	h := testhost.Light(t, n, testhost.Options{Name: "attached"})
	x := newNix(t)
	const printsKey = "cat " + keyFile + "; echo printed"
	tops := flakeOf(t, x, map[string]system{
		"first": {version: "1", after: printsKey + "; [ ! -e /run/go ] || exit 4"},
		// A unit that fails is not to be in the way of going back either.
		"second": {version: "2", before: "echo begins; while [ ! -e /run/go ]; do sleep 0.1; done", after: printsKey + "; exit 4"},
	})
	at := func(top string) deploy.Machine {
		m := machine("attached", flake.NixOS, "ssh://attached", tops[top])
		m.Details.Health = &flake.Health{FailedUnits: "warn", Checks: map[string]*flake.HealthCheck{"new": {Command: "[ $(cat /etc/version) = 2 ]", Timeout: 5}}}
		if top == "first" {
			m.Details.Health = nil
		}
		return m
	}
	events := &recorder{}
	o := sshOptions(x, events, n)
	wantState(t, newDeployer(t, o).Update(t.Context(), []deploy.Machine{at("first")}), "attached", deploy.Done)
	job := driverJob{
		SSHConfig: n.SSHConfig, Runs: t.TempDir(), Run: "20260102-attached", Machine: at("second"),
		Phase: deploy.Activate, State: deploy.Running, Message: "begins",
		Settings: deploy.Settings{Timeouts: deploy.Timeouts{Confirm: time.Minute}},
	}
	kill := driver(t, x, job)
	if record, _, err := deploy.AttachRecord(job.Runs, job.Run, o.Now()); record != nil || err != nil {
		t.Fatalf("the record of a driver that lives was taken: %v", err)
	}
	kill()
	on(t, h, "touch", "/run/go")

	record, history, err := deploy.AttachRecord(job.Runs, job.Run, o.Now())
	if err != nil || record == nil {
		t.Fatalf("there is no record to take: %v", err)
	}
	o.Run, o.Record, o.MachineKey = record.ID, record, nil
	bare := []deploy.Machine{{Name: "attached", Class: flake.NixOS, Address: "ssh://attached"}}
	wantState(t, newDeployer(t, o).Attach(t.Context(), bare, history), "attached", deploy.Done)
	if err := record.Close(o.Now()); err != nil {
		t.Error(err)
	}
	if history, err = deploy.ReadRecord(job.Runs, job.Run); err != nil || !history.Complete || len(history.Unfinished()) > 0 {
		t.Errorf("the record says complete %t, unfinished %v (%v)", history.Complete, history.Unfinished(), err)
	}

	// Back, with what its last deploy said of units that may fail, but not with its
	// checks; and there again.
	o.Record = nil
	d := newDeployer(t, o)
	wantState(t, d.Rollback(t.Context(), d.PlanRollback(t.Context(), bare, 0)), "attached", deploy.Done, "it is at generation 1")
	wantState(t, d.Rollback(t.Context(), d.PlanRollback(t.Context(), bare, 2)), "attached", deploy.Done, "it is at generation 2")

	log := readFile(t, filepath.Join(job.Runs, job.Run, "attached.log"))
	for what, text := range map[string]string{"an event": eventTexts(events), "the log": log} {
		if !strings.Contains(text, "printed") || !strings.Contains(text, "********") || strings.Contains(text, testKey) {
			t.Errorf("the key is in %s, or nothing is:\n%s", what, text)
		}
	}
}

// A machine that was lost while it waited for its turn is claimed anew, and left
// alone if somebody else has it, or has changed it.
func TestWaitForTurn(t *testing.T) {
	n, folder := testhost.NewNetwork(t), t.TempDir()
	hosts := testhost.Lights(t, n, testhost.Options{Name: "cut"}, testhost.Options{Name: "changed"}, testhost.Options{Name: "taken"})
	x := newNix(t)
	building := filepath.Join(folder, "building")
	if err := os.WriteFile(building, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tops := flakeOf(t, x, map[string]system{
		"first": {version: "1", before: "while [ ! -e /go ]; do sleep 0.1; done"}, "cut": {version: "1"}, "changed": {version: "1"}, "taken": {version: "1"},
		"other": {version: "other"}, "slow": {version: "slow", build: "while [ -e " + building + " ]; do $b sleep 0.05; done"},
	})
	at := func(name, top string) deploy.Machine {
		m := machine(name, flake.NixOS, "ssh://"+name, tops[top])
		m.Wave = 1
		return m
	}
	first := machine("first", flake.NixOS, "root:"+folder+"/first", tops["first"])

	var waiting, claimed sync.WaitGroup
	waiting.Add(len(hosts))
	claimed.Add(1)
	o := sshOptions(x, &recorder{hook: func(e deploy.Event) {
		if e.Machine != "first" && e.Phase == deploy.Copy && e.State == deploy.Done {
			waiting.Done()
		}
	}}, n)
	o.Owner = "the-first@driver"
	other := sshOptions(x, &recorder{hook: func(e deploy.Event) {
		if e.Machine == "taken" && e.Phase == deploy.Build && e.State == deploy.Started {
			claimed.Done()
		}
	}}, n)
	other.Owner = "another@driver"
	var ran, slow sync.WaitGroup
	var summary *deploy.Summary
	ran.Go(func() {
		summary = newDeployer(t, o).Update(t.Context(), []deploy.Machine{first, at("cut", "cut"), at("changed", "changed"), at("taken", "taken")})
	})
	waiting.Wait()
	for _, h := range hosts {
		must(t, h.KillSSHD())
		must(t, h.StartSSHD())
	}
	wantState(t, newDeployer(t, other).Update(t.Context(), []deploy.Machine{at("changed", "other")}), "changed", deploy.Done)
	slow.Go(func() {
		wantState(t, newDeployer(t, other).Update(t.Context(), []deploy.Machine{at("taken", "slow")}), "taken", deploy.Done)
	})
	claimed.Wait()
	must(t, os.WriteFile(folder+"/first/go", nil, 0o644))
	ran.Wait()
	must(t, os.Remove(building))
	slow.Wait()
	wantState(t, summary, "first", deploy.Done)
	wantState(t, summary, "cut", deploy.Done)
	wantState(t, summary, "changed", deploy.Failed, "somebody has changed it meanwhile", "fleet machines update changed")
	wantState(t, summary, "taken", deploy.Failed, "is under way, begun by another@driver")
	for i, want := range []string{"1", "other", "slow"} {
		if got := on(t, hosts[i], "cat", "/etc/version"); got != want {
			t.Errorf("%s is at version %s, want %s", hosts[i].Name, got, want)
		}
		if left := on(t, hosts[i], "ls", "-A", "/run/fleet"); left != "" {
			t.Errorf("%s keeps %q", hosts[i].Name, left)
		}
	}
}
