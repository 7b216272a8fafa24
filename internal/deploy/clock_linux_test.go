package deploy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/testhost"
)

// A host's clock is a day ahead, and jumps by days while a new system waits for its
// confirmation: neither is that cut short or stretched, nor does another deploy
// get in or hear of an age of days, nor is a line of the journal lost.
func TestClockJumps(t *testing.T) {
	const day = 24 * time.Hour
	n := testhost.NewNetwork(t)
	h := testhost.Full(t, n, testhost.Options{Name: "jumps"})
	must(t, h.SetClock(day))
	x := newNix(t)
	tops := flakeOf(t, x, map[string]system{"first": {version: "1"}, "second": {version: "2"}, "third": {version: "3"}})
	machines := func(name string) []deploy.Machine {
		return []deploy.Machine{machine("jumps", flake.NixOS, "ssh://jumps", tops[name])}
	}
	events := &recorder{}
	o := sshOptions(x, events, n)
	wantState(t, newDeployer(t, o).Update(t.Context(), machines("first")), "jumps", deploy.Done)
	events.events = nil
	events.hook = func(e deploy.Event) {
		if e.Phase != deploy.Confirm || e.State != deploy.Started {
			return
		}
		must(t, h.SetClock(2*day))
		other := result(t, newDeployer(t, sshOptions(x, &recorder{}, n)).Update(t.Context(), machines("third")), "jumps")
		if busy, ok := errors.AsType[*deploy.BusyError](other.Err); !ok || busy.Age > time.Hour {
			t.Errorf("another deploy is told %v", other.Err)
		}
		must(t, h.SetClock(-day))
	}
	wantState(t, newDeployer(t, o).Update(t.Context(), machines("second")), "jumps", deploy.Done)
	if texts := eventTexts(events); strings.Count(texts, "fleet: done 0") != 1 {
		t.Errorf("what it says after the jump is not told once:\n%s", texts)
	}
	wantStanding(t, h, tops["second"].OutPath, "system-2-link", "2")

	job := driverJob{
		SSHConfig: n.SSHConfig, Runs: t.TempDir(), Run: "20260102-jumps", Machine: machines("third")[0],
		Phase: deploy.Confirm, State: deploy.Started, Settings: deploy.Settings{Timeouts: deploy.Timeouts{Confirm: 5 * time.Second}},
	}
	driver(t, x, job)()
	must(t, h.SetClock(-2*day))
	waitAtRest(t, h)
	wantStanding(t, h, tops["second"].OutPath, "system-2-link", "2")
	if ends := on(t, h, "sh", "-c", "tail -qn 1 /var/lib/fleet/*/result"); !strings.HasSuffix(ends, "rolled-back expired 0") {
		t.Errorf("its deploys ended with %q", ends)
	}
}
