package deploy_test

import (
	"bytes"
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

// The secrets that an activation needs are in place before it, for root alone, and
// are written only when they change; nobody else gets to know them.
func TestActivationSecrets(t *testing.T) {
	const tokenFile = "/var/lib/sops-nix/activation/token"
	n := testhost.NewNetwork(t)
	h := testhost.Light(t, n, testhost.Options{Name: "needs"})
	x, runs := newNix(t), t.TempDir()
	leavesNothing(t, x, h)
	prints := "[ ! -e /run/refuses ] || exit 2; /bin/stat -c '%n has mode %a' " + activationFile + "; cat " + activationFile + "; echo; cat " + activationFile + " > /run/seen"
	tops := flakeOf(t, x, map[string]system{"first": {version: "1", before: prints}, "second": {version: "2", before: prints}})
	values := map[string]string{"disk/passphrase": "a phrase of the disk", "disk/token": "a token of the disk"}
	events := &recorder{}
	o := sshOptions(x, events, n)
	o.Secret = func(_ context.Context, _, value string) ([]byte, error) { return []byte(values[value]), nil }
	update := func(system string, want deploy.State, written string) {
		t.Helper()
		events.events = nil
		m := withActivation("needs", "ssh://needs")
		top := tops[system]
		m.Details.Toplevel = &top
		m.Details.Generators["disk"].Files["token"] = &flake.File{Secret: true, Deploy: true, NeededFor: "activation", Path: tokenFile}
		o := o
		o.Run = deploy.NewRun(time.Now(), o.Random)
		record, err := deploy.CreateRecord(runs, deploy.Header{ID: o.Run, Started: o.Now(), Machines: []string{m.Name}})
		if err != nil {
			t.Fatal(err)
		}
		o.Record = record
		d := newDeployer(t, o)
		plan := d.Plan(t.Context(), []deploy.Machine{m}).Steps[0].Text()
		if written != "" && !strings.Contains(plan, "put "+activationFile+" in place") {
			t.Errorf("the plan says %q", plan)
		}
		wantState(t, d.Update(t.Context(), []deploy.Machine{m}), "needs", want)
		must(t, record.Close(o.Now()))
		got := ""
		for _, e := range events.events {
			if e.Phase == deploy.Secrets && e.State == deploy.Done {
				got = e.Message
			}
		}
		if got != written {
			t.Errorf("%q was written, want %q", got, written)
		}
		if want == deploy.Done {
			if texts := eventTexts(events); !strings.Contains(texts, activationFile+" has mode 600\n********\n") {
				t.Errorf("the activation printed:\n%s", texts)
			}
			if got := on(t, h, "cat", "/run/seen"); got != values["disk/passphrase"] {
				t.Errorf("the activation found %q", got)
			}
		}
		wantPrinted(t, h, [][2]string{
			{"stat -c '%a %U' " + activationFile + " " + tokenFile + " " + filepath.Dir(activationFile), "600 root\n600 root\n700 root"},
			{"cat " + activationFile + " " + tokenFile, values["disk/passphrase"] + values["disk/token"]},
		})
		for name, value := range values {
			if strings.Contains(eventTexts(events), value) {
				t.Errorf("%s is in an event", name)
			}
		}
	}
	inode := func(file string) string { t.Helper(); return on(t, h, "stat", "-c", "%i %Z", file) }

	update("first", deploy.Done, keyFile+", "+activationFile+", "+tokenFile)
	passphrase, token := inode(activationFile), inode(tokenFile)
	update("first", deploy.Unchanged, "")
	update("second", deploy.Done, "")
	if inode(activationFile) != passphrase || inode(tokenFile) != token {
		t.Error("a secret was written that had not changed")
	}
	values["disk/passphrase"] = "another phrase of the disk"
	update("second", deploy.Done, activationFile)
	on(t, h, "chmod", "644", activationFile)
	update("second", deploy.Done, activationFile)
	if inode(tokenFile) != token {
		t.Error("a secret was written that had not changed")
	}

	// A secret that is there and was not activated yet does not make the machine look
	// unchanged: neither where the driver dies between the two nor where that failed.
	values["disk/passphrase"] = "a third phrase of the disk"
	on(t, h, "touch", "/run/refuses")
	marked := ""
	events.hook = func(e deploy.Event) {
		if e.Phase == deploy.Secrets && e.State == deploy.Done {
			marked = on(t, h, "cat", "/run/fleet-activating")
		}
	}
	update("second", deploy.Failed, activationFile)
	events.hook = nil
	if marked != tops["second"].OutPath {
		t.Errorf("when the secret was there it was said that %q is activated", marked)
	}
	on(t, h, "rm", "/run/refuses")
	update("second", deploy.Done, "")
	update("second", deploy.Unchanged, "")

	values["before"] = "a phrase of the disk"
	searched := 0
	must(t, filepath.WalkDir(runs, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		for name, value := range values {
			if bytes.Contains(text, []byte(value)) {
				t.Errorf("%s is in %s", name, path)
			}
		}
		searched++
		return err
	}))
	if searched < 8 { // a record and mostly a log of each run
		t.Errorf("%d files are too few to search", searched)
	}
}

// Where the line drops amid a secret the machine keeps the one that it has, and is
// not activated.
func TestLineDropsAmidSecret(t *testing.T) {
	n := testhost.NewNetwork(t)
	h := testhost.Light(t, n, testhost.Options{Name: "drops"})
	x := newNix(t)
	leavesNothing(t, x, h)
	tops := flakeOf(t, x, map[string]system{"first": {version: "1"}, "second": {version: "2"}})
	var cut sync.WaitGroup
	events := &recorder{}
	o := sshOptions(x, events, n)
	update := func(system string, secret []byte) *deploy.Summary {
		m := withActivation("drops", "ssh://drops")
		top := tops[system]
		m.Details.Toplevel = &top
		o.Secret = func(context.Context, string, string) ([]byte, error) { return secret, nil }
		return newDeployer(t, o).Update(t.Context(), []deploy.Machine{m})
	}
	wantState(t, update("first", []byte("old")), "drops", deploy.Done)
	before := on(t, h, "stat", "-c", "%i %Z", activationFile)

	large := bytes.Repeat([]byte("x"), 32<<20)
	events.hook = func(e deploy.Event) {
		if e.Phase != deploy.Secrets || e.State != deploy.Started {
			return
		}
		must(t, h.Latency(300*time.Millisecond, 0)) // a window's worth of it is under way at a time
		cut.Go(func() {
			wait(t, func() bool { return hostFile(h, filepath.Dir(activationFile)+"/.passphrase.new") })
			must(t, h.KillSSHD())
		})
	}
	summary := update("second", large)
	cut.Wait()
	must(t, h.Latency(0, 0))
	must(t, h.StartSSHD())
	wantState(t, summary, "drops", deploy.Failed, "write "+activationFile+" on ssh://drops: the script for that: drops: connection lost")
	wait(t, func() bool { return on(t, h, "ls", "-A", filepath.Dir(activationFile)) == "passphrase" })
	if got := on(t, h, "cat", activationFile); got != "old" || on(t, h, "stat", "-c", "%i %Z", activationFile) != before {
		t.Errorf("the secret is %d bytes long, and was old", len(got))
	}
	wantSystem(t, h, tops["first"].OutPath, "system-1-link", "1")

	events.hook = nil
	wantState(t, update("second", []byte("new")), "drops", deploy.Done)
	wantPrinted(t, h, [][2]string{{"cat " + activationFile, "new"}})
	wantSystem(t, h, tops["second"].OutPath, "system-2-link", "2")
}
