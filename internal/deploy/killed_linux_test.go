package deploy_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/testhost"
)

// driverEnv marks a process that is a driver to be killed; it holds its driverJob.
const driverEnv = "FLEET_TEST_DRIVER"

// driverJob is what a driver that is to be killed does: it deploys one machine
// and stands still at an event.
type driverJob struct {
	SSHConfig, Runs, Run string
	Machine              deploy.Machine
	Settings             deploy.Settings
	Phase                deploy.Phase
	State                deploy.State
	Message              string
}

const standsStill = "the driver stands still"

// TestDriver is the driver that other tests kill.
func TestDriver(t *testing.T) {
	if os.Getenv(driverEnv) == "" {
		return
	}
	var job driverJob
	if err := json.Unmarshal([]byte(os.Getenv(driverEnv)), &job); err != nil {
		t.Fatal(err)
	}
	events := &recorder{hook: func(e deploy.Event) {
		if e.Phase == job.Phase && e.State == job.State && (job.Message == "" || e.Message == job.Message) {
			fmt.Println(standsStill)
			time.Sleep(time.Hour) // its killer is near
		}
	}}
	o := sshOptions(newNix(t), events, &testhost.Network{SSHConfig: job.SSHConfig})
	o.Run, o.Owner, o.Settings = job.Run, "the-dead@driver", job.Settings
	record, err := deploy.CreateRecord(job.Runs, deploy.Header{ID: o.Run, Started: o.Now(), Settings: job.Settings, Machines: []string{job.Machine.Name}})
	if err != nil {
		t.Fatal(err)
	}
	o.Record = record
	for _, r := range newDeployer(t, o).Update(t.Context(), []deploy.Machine{job.Machine}).Results {
		fmt.Printf("the driver was not killed: %+v\n", r)
	}
}

// driver starts a driver and returns when it stands still. The returned function
// kills it and removes its temporary files, which the dead cannot.
func driver(t *testing.T, x *counted, job driverJob) (kill func()) {
	t.Helper()
	tmp := filepath.Join(x.tmp, job.Machine.Name)
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDriver$", "-test.v")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, driverEnv+"="+string(text))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if err := os.RemoveAll(tmp); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(kill)
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == standsStill {
			return kill
		}
		said.WriteString(lines.Text() + "\n")
	}
	t.Errorf("%s: the driver ended before its time:\n%s", job.Machine.Name, said.String())
	return kill
}

// A driver that is killed leaves a machine that another driver, or the same run
// gone on with, brings to its system; meanwhile nobody else gets at it, and
// nothing of the dead driver goes on.
func TestKilledDriver(t *testing.T) {
	flag := filepath.Join(t.TempDir(), "building")
	if err := os.WriteFile(flag, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	waits := system{before: "echo begins; while [ ! -e /run/go ]; do sleep 0.1; done"}
	// What another driver is told while the first lives: of a claim, or of an
	// activation, which outlives the driver.
	const claimed, activating = "is under way, begun by the-dead@driver", "fleet machines attach "
	cases := []struct {
		name    string
		full    bool
		second  system
		phase   deploy.Phase
		state   deploy.State
		message string
		busy    string
		window  time.Duration
		// attach takes the machine over from another computer, without the record.
		attach bool
		// tries is how often the system is activated in all.
		tries int
	}{
		{name: "build", second: system{build: "while [ -e " + flag + " ]; do $b sleep 0.05; done"}, phase: deploy.Build, state: deploy.Running, busy: claimed, tries: 1},
		{name: "copy", phase: deploy.Copy, state: deploy.Running, busy: claimed, tries: 1},
		{name: "secrets", phase: deploy.Secrets, state: deploy.Started, busy: claimed, tries: 1},
		{name: "begin", phase: deploy.Activate, state: deploy.Started, busy: claimed, tries: 1},
		{name: "activating", second: waits, phase: deploy.Activate, state: deploy.Running, message: "begins", busy: activating, tries: 1},
		{name: "activating-attach", second: waits, phase: deploy.Activate, state: deploy.Running, message: "begins", busy: activating, attach: true, tries: 1},
		{name: "confirm", phase: deploy.Confirm, state: deploy.Started, busy: activating, tries: 1},
		{name: "confirm-expires", phase: deploy.Confirm, state: deploy.Started, window: time.Second, tries: 2},
		{name: "full-activating", full: true, second: waits, phase: deploy.Activate, state: deploy.Running, message: "begins", busy: activating, tries: 1},
		{name: "full-expires", full: true, phase: deploy.Confirm, state: deploy.Started, window: time.Second, tries: 2},
	}
	n := testhost.NewNetwork(t)
	var lights, fulls []testhost.Options
	systems := map[string]system{}
	for _, c := range cases {
		if c.full {
			fulls = append(fulls, testhost.Options{Name: c.name})
		} else {
			lights = append(lights, testhost.Options{Name: c.name})
		}
		systems[c.name+"-1"] = system{version: "1"}
		c.second.version = "2"
		systems[c.name+"-2"] = c.second
	}
	byName := map[string]*testhost.Host{}
	for _, h := range slices.Concat(testhost.Lights(t, n, lights...), testhost.Fulls(t, n, fulls...)) {
		byName[h.Name] = h
	}
	x := newNix(t)
	leavesNothing(t, x, slices.Collect(maps.Values(byName))...)
	tops := flakeOf(t, x, systems)
	o := sshOptions(x, &recorder{}, n)
	o.Owner = "me@here"
	var first []deploy.Machine
	for _, c := range cases {
		first = append(first, machine(c.name, flake.NixOS, "ssh://"+c.name, tops[c.name+"-1"]))
	}
	for _, r := range newDeployer(t, o).Update(t.Context(), first).Results {
		if r.State != deploy.Done {
			t.Fatalf("the first system of %s: %+v", r.Machine, r)
		}
	}

	t.Run("group", func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				h, second := byName[c.name], tops[c.name+"-2"]
				m := machine(c.name, flake.NixOS, "ssh://"+c.name, second)
				if c.phase == deploy.Secrets { // it has one that is to be replaced
					on(t, h, "sh", "-c", "echo another > "+keyFile)
				}
				job := driverJob{SSHConfig: n.SSHConfig, Runs: t.TempDir(), Run: "20260102-" + c.name, Machine: m, Phase: c.phase, State: c.state, Message: c.message}
				job.Settings.Timeouts.Confirm = max(c.window, time.Second)
				if c.window == 0 {
					job.Settings.Timeouts.Confirm = time.Minute
				}
				kill := driver(t, x, job)

				o := o
				if c.busy != "" {
					other := newDeployer(t, o).Update(t.Context(), []deploy.Machine{m})
					wantState(t, other, c.name, deploy.Failed, c.busy)
				}
				if _, _, err := deploy.ResumeRecord(job.Runs, job.Run, o.Now()); !errors.Is(err, deploy.ErrRunning) {
					t.Errorf("the run of a driver that lives was taken over: %v", err)
				}
				kill()
				switch {
				case c.name == "build":
					wait(t, func() bool { return exec.Command("pgrep", "-f", flag).Run() != nil })
					if err := os.Remove(flag); err != nil {
						t.Error(err)
					}
				case c.message != "":
					on(t, h, "touch", "/run/go")
				case c.window > 0:
					wait(t, func() bool { return !hostFile(h, "/var/lib/fleet/current") })
					if got := on(t, h, "cat", "/etc/version"); got != "1" {
						t.Errorf("nobody confirmed, and it is at version %s", got)
					}
				}

				var summary *deploy.Summary
				if c.attach {
					summary = newDeployer(t, o).Attach(t.Context(), []deploy.Machine{{Name: m.Name, Class: m.Class, Address: m.Address}}, nil)
				} else {
					record, history, err := deploy.ResumeRecord(job.Runs, job.Run, o.Now())
					if err != nil {
						t.Fatal(err)
					}
					o.Run, o.Record, o.Settings = record.ID, record, history.Settings
					o.Timeouts.Confirm = time.Minute // only the first window is to expire
					// Where the driver died before it knew the machine, it is evaluated anew.
					known, ok := history.Evaluated[m.Name]
					if !ok {
						known = m
					}
					summary = newDeployer(t, o).Resume(t.Context(), history, []deploy.Machine{known})
					if err := record.Close(o.Now()); err != nil {
						t.Error(err)
					}
					if again, err := deploy.ReadRecord(job.Runs, job.Run); err != nil || len(again.Unfinished()) > 0 {
						t.Errorf("the record says that %v are not finished (%v)", again.Unfinished(), err)
					}
				}
				wantState(t, summary, c.name, deploy.Done)
				for command, want := range map[string]string{
					"readlink /run/current-system":            second.OutPath,
					"readlink /nix/var/nix/profiles/system":   "system-2-link",
					"cat /etc/version":                        "2",
					"cat /boot/default":                       second.OutPath,
					"cat " + keyFile:                          testKey,
					"ls -A /run/fleet":                        "",
					"ls /nix/var/nix/gcroots/fleet":           "",
					"pgrep -fa '[/]var/lib/fleet' || true":    "",
					"pgrep -fa '[n]ix-daemon.*stdio' || true": "",
				} {
					if got := on(t, h, "sh", "-c", command); got != want {
						t.Errorf("`%s` prints %q, want %q", command, got, want)
					}
				}
				if got := strings.Count(on(t, h, "cat", "/var/log/activations"), second.OutPath+"/bin/switch-to-configuration test"); got != c.tries {
					t.Errorf("the system was activated %d times, want %d", got, c.tries)
				}
			})
		}
	})
}
