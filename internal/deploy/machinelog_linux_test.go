package deploy_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
)

// What Nix, its builder and the activation print is in the machine's log, which a
// failure names. A key that is printed is nowhere.
func TestLogOfMachine(t *testing.T) {
	x, folder := newNix(t), t.TempDir()
	tops := flakeOf(t, x, map[string]system{
		"bad":  {version: "1", build: "echo compiling; cat /nowhere || true", after: "echo the key is; cat /var/lib/sops-nix/key.txt; exit 2"},
		"good": {version: "1"},
	})
	machines := []deploy.Machine{
		machine("bad", flake.NixOS, "root:"+folder+"/bad", tops["bad"]),
		machine("good", flake.NixOS, "root:"+folder+"/good", tops["good"]),
	}
	events := &recorder{}
	o := options(x, events)
	runs := filepath.Join(folder, "runs")
	record, err := deploy.CreateRecord(runs, deploy.Header{ID: "1", Started: time.Now(), Machines: []string{"bad", "good"}})
	if err != nil {
		t.Fatal(err)
	}
	o.Record = record
	summary := newDeployer(t, o).Update(t.Context(), machines)
	if err := record.Close(time.Now()); err != nil {
		t.Fatal(err)
	}
	wantState(t, summary, "bad", deploy.Failed, "the key is; ********")
	wantState(t, summary, "good", deploy.Done)
	log := filepath.Join(runs, "1", "bad.log")
	if got := result(t, summary, "bad").Log; got != log {
		t.Errorf("the log is at %q", got)
	}
	if got := result(t, summary, "good").Log; got != "" {
		t.Errorf("nothing failed, and it names the log %s", got)
	}
	text := readFile(t, log)
	for _, want := range []string{" build    system-bad-1> compiling", " copy     copying path '", " activate the key is\n", " activate ********\n", " end      failed: "} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %q:\n%s", want, text)
		}
	}
	for place, text := range map[string]string{
		"the log": text, "an event": eventTexts(events), "the record": readFile(t, filepath.Join(runs, "1", "record.ndjson")),
		"the message": result(t, summary, "bad").Message, "the error": result(t, summary, "bad").Err.Error(),
	} {
		if strings.Contains(text, testKey) {
			t.Errorf("the key is in %s", place)
		}
	}
	h, err := deploy.ReadRecord(runs, "1")
	if err != nil {
		t.Fatal(err)
	}
	line := h.Timeline(h.Started)
	if line.Outcome != deploy.RunFailed || len(line.Ways) != 2 || line.Ways[0].In(deploy.Activate) <= 0 || line.Ways[1].In(deploy.Confirm) <= 0 {
		t.Errorf("%+v", line)
	}
}
