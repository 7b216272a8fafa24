package deploy_test

import (
	"testing"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/testhost"
)

// Of two drivers that deploy to a machine at the same moment one has it; the other
// is told whose it is.
func TestTwoDrivers(t *testing.T) {
	n := testhost.NewNetwork(t)
	h := testhost.Light(t, n, testhost.Options{Name: "wanted"})
	x := newNix(t)
	leavesNothing(t, x, h)
	waits := "while [ ! -e /run/go ]; do sleep 0.1; done"
	owners := []string{"ann@one", "bob@two"}
	tops := flakeOf(t, x, map[string]system{owners[0][:3]: {version: "ann", before: waits}, owners[1][:3]: {version: "bob", before: waits}})
	reached, both := make(chan bool), make(chan bool)
	type end struct {
		owner   string
		summary *deploy.Summary
	}
	ends := make(chan end)
	for _, owner := range owners {
		o := sshOptions(x, &recorder{hook: func(e deploy.Event) {
			if e.Phase == deploy.Reach && e.State == deploy.Done {
				reached <- true
				<-both
			}
		}}, n)
		o.Owner = owner
		d := newDeployer(t, o)
		go func() {
			ends <- end{owner, d.Update(t.Context(), []deploy.Machine{machine("wanted", flake.NixOS, "ssh://wanted", tops[owner[:3]])})}
		}()
	}
	<-reached
	<-reached
	close(both)
	loser := <-ends
	on(t, h, "touch", "/run/go")
	winner := <-ends
	wantState(t, loser.summary, "wanted", deploy.Failed, "a deploy to ssh://wanted is under way, begun by "+winner.owner)
	wantState(t, winner.summary, "wanted", deploy.Done)
	if loser.summary.ExitCode() != 1 || winner.summary.ExitCode() != 0 {
		t.Errorf("exit codes %d and %d, want 1 and 0", loser.summary.ExitCode(), winner.summary.ExitCode())
	}
	wantSystem(t, h, tops[winner.owner[:3]].OutPath, "system-1-link", winner.owner[:3])
}
