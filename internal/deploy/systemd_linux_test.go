package deploy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/testhost"
)

// With systemd the activation is a unit, its output is in the journal, and
// failed units are named.
func TestUpdateSystemd(t *testing.T) {
	n := testhost.NewNetwork(t)
	hosts := testhost.Fulls(t, n, testhost.Options{Name: "good"}, testhost.Options{Name: "units"}, testhost.Options{Name: "killed"}, testhost.Options{Name: "lost"}, testhost.Options{Name: "loud"})
	x := newNix(t)
	leavesNothing(t, x, hosts...)
	unit := "/usr/bin/systemd-run --quiet --unit=broken-service /bin/false; sleep 1"
	tops := flakeOf(t, x, map[string]system{
		"good":   {version: "1", after: "sleep 1"},
		"units":  {version: "1", after: unit + "; exit 4"},
		"killed": {version: "1", after: "kill -9 $PPID; sleep 1"},
		"lost":   {version: "1", before: "echo begins", after: "sleep 3"},
		"loud":   {version: "1", before: "/usr/bin/seq -f %01000.0f 3000"},
	})
	var machines []deploy.Machine
	for name, top := range tops {
		machines = append(machines, machine(name, flake.NixOS, "ssh://"+name, top))
	}
	events := &recorder{}
	events.hook = func(e deploy.Event) {
		if e.Machine == "lost" && e.Message == "begins" {
			if err := hosts[3].LinkDown(); err != nil {
				t.Error(err)
			}
			time.AfterFunc(time.Second, func() {
				if err := hosts[3].LinkUp(); err != nil {
					t.Error(err)
				}
			})
		}
	}
	summary := newDeployer(t, sshOptions(x, events, n)).Update(t.Context(), machines)
	wantState(t, summary, "good", deploy.Done)
	wantState(t, summary, "units", deploy.Failed, "units failed: broken-service.service", "ssh units journalctl -b -u broken-service.service")
	wantState(t, summary, "killed", deploy.Failed, "the activation was killed: this is 1 of killed; there is no earlier system")
	wantState(t, summary, "lost", deploy.Done)
	wantState(t, summary, "loud", deploy.Done)
	if texts := eventTexts(events); !strings.Contains(texts, " bytes that it printed are left out here") || !strings.Contains(texts, "this is 1 of loud") {
		t.Error("of what is printed in a moment not the end is shown")
	}
	if !strings.Contains(eventTexts(events), "this is 1 of good") {
		t.Errorf("the output of the activation is not among the events:\n%s", eventTexts(events))
	}
	for _, h := range hosts[:2] {
		if left := on(t, h, "sh", "-c", "ls -A /run/fleet; systemctl list-units --all --plain --no-legend 'fleet-*'"); h == hosts[0] && left != "" {
			t.Errorf("%s keeps %q", h.Name, left)
		}
	}

	status := newDeployer(t, sshOptions(x, &recorder{}, n)).Status(t.Context(), machines)
	for _, s := range status {
		switch s.Machine {
		case "good":
			if !s.Good() || !s.Found.Systemd {
				t.Errorf("good: %+v", s)
			}
		case "units":
			if s.Verdict != deploy.Differs || len(s.Found.FailedUnits) != 1 {
				t.Errorf("units: %+v", s)
			}
		}
	}
}
