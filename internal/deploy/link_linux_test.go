package deploy_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/ssh"
	"github.com/crs58/fleet/internal/testhost"
)

// Before and after the activation, too, a link that is cut leaves a machine at one
// system, and what was left on it for as long as it could not be reached is gone
// when the run goes on. (TestFaults cuts it during the activation.)
func TestLinkCut(t *testing.T) {
	const payload = "$b dd if=/dev/urandom of=$out/payload bs=1M count=24 2>/dev/null"
	cases := []struct {
		name   string
		second system
		phase  deploy.Phase
		state  deploy.State
		window time.Duration
		// back says that the link is there again with this event, gone that the run is
		// interrupted with it; with neither it is when the machine has gone back.
		back, gone string
		ends       deploy.State
		texts      []string
	}{
		{name: "copying", second: system{build: "$b mkdir -p $out; " + payload}, phase: deploy.Copy, state: deploy.Running, back: "trying again", ends: deploy.Done},
		{name: "copying-away", second: system{build: "$b mkdir -p $out; " + payload}, phase: deploy.Copy, state: deploy.Running, gone: "trying again", ends: deploy.Interrupted, texts: []string{"interrupted while copying"}},
		{name: "confirming", phase: deploy.Confirm, state: deploy.Started, window: 2 * time.Minute, back: "cannot be reached", ends: deploy.Done},
		{name: "confirming-away", phase: deploy.Confirm, state: deploy.Started, window: 5 * time.Second, ends: deploy.RolledBack, texts: []string{"not confirmed within 5s", "back on generation 1"}},
	}
	n := testhost.NewNetwork(t)
	var options []testhost.Options
	systems := map[string]system{}
	for _, c := range cases {
		options = append(options, testhost.Options{Name: c.name})
		c.second.version = "2"
		systems[c.name+"-1"], systems[c.name+"-2"] = system{version: "1"}, c.second
	}
	hosts := testhost.Lights(t, n, options...)
	x := newNix(t)
	leavesNothing(t, x, hosts...)
	tops := flakeOf(t, x, systems)
	o := sshOptions(x, &recorder{}, n)
	o.Timeouts.Stall, o.Timeouts.Reach = 2*time.Second, 5*time.Second
	var first []deploy.Machine
	for _, c := range cases {
		first = append(first, machine(c.name, flake.NixOS, "ssh://"+c.name, tops[c.name+"-1"]))
	}
	if summary := newDeployer(t, o).Update(t.Context(), first); summary.Count(deploy.Done) != len(cases) {
		t.Fatalf("the first systems: %s: %v", summary.Text(), summary.Err())
	}

	t.Run("group", func(t *testing.T) {
		for i, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				h, o := hosts[i], o
				second := []deploy.Machine{machine(c.name, flake.NixOS, "ssh://"+c.name, tops[c.name+"-2"])}
				ctx, interrupt := context.WithCancel(t.Context())
				defer interrupt()
				cut := false
				events := &recorder{hook: func(e deploy.Event) {
					switch {
					case !cut && e.Phase == c.phase && e.State == c.state:
						cut = true
						must(t, h.LinkDown())
						if c.back+c.gone == "" {
							wait(t, func() bool { return !hostFile(h, "/var/lib/fleet/current") })
							must(t, h.LinkUp())
						}
					case cut && c.back != "" && strings.Contains(e.Message, c.back):
						must(t, h.LinkUp())
					case cut && c.gone != "" && strings.Contains(e.Message, c.gone):
						interrupt()
					}
				}}
				o.OnEvent, o.Run, o.Timeouts.Confirm = events.on, "20260102-"+c.name, c.window
				summary := newDeployer(t, o).Update(ctx, second)
				wantState(t, summary, c.name, c.ends, c.texts...)
				if want := map[deploy.State]int{deploy.Done: 0, deploy.RolledBack: 4, deploy.Interrupted: 130}[c.ends]; summary.ExitCode() != want {
					t.Errorf("exit code %d, want %d", summary.ExitCode(), want)
				}
				version := map[bool]string{true: "2", false: "1"}[c.ends == deploy.Done]
				wantSystem(t, h, tops[c.name+"-"+version].OutPath, "system-"+version+"-link", version)
				must(t, h.LinkUp())
				if c.ends == deploy.Interrupted {
					o.OnEvent = (&recorder{}).on
					wantState(t, newDeployer(t, o).Update(t.Context(), second), c.name, deploy.Done)
					wantSystem(t, h, tops[c.name+"-2"].OutPath, "system-2-link", "2")
				}
			})
		}
	})
}

// A link that stalls while the new system is looked at, and is back when the machine
// is to be told, decides nothing about it.
func TestLinkStalls(t *testing.T) {
	n := testhost.NewNetwork(t)
	h := testhost.Light(t, n, testhost.Options{Name: "stalls"})
	x := newNix(t)
	leavesNothing(t, x, h)
	tops := flakeOf(t, x, map[string]system{"first": {version: "1"}, "second": {version: "2"}})
	var confirms atomic.Int32
	o := sshOptions(x, &recorder{hook: func(e deploy.Event) {
		if e.Phase == deploy.Confirm && e.State == deploy.Started {
			confirms.Add(1)
		}
	}}, n)
	var once sync.Once
	o.Dial = func(ctx context.Context, _ string, host ssh.Target) (*ssh.Conn, error) {
		conn, err := ssh.Dial(ctx, ssh.Config{Target: host, Env: append(os.Environ(), "TMPDIR="+x.tmp), File: n.SSHConfig, SessionTimeout: 2 * time.Second})
		if err == nil && confirms.Load() == 2 { // of the second system
			once.Do(func() {
				must(t, h.LinkDown())
				time.AfterFunc(3*time.Second, func() { must(t, h.LinkUp()) })
			})
		}
		return conn, err
	}
	for _, name := range []string{"first", "second"} {
		wantState(t, newDeployer(t, o).Update(t.Context(), []deploy.Machine{machine("stalls", flake.NixOS, "ssh://stalls", tops[name])}), "stalls", deploy.Done)
	}
	wantSystem(t, h, tops["second"].OutPath, "system-2-link", "2")
}
