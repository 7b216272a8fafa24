package deploy_test

import (
	"bufio"
	"cmp"
	"context"
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
// and stands still at an event, or goes on from there until it is killed.
type driverJob struct {
	SSHConfig, Runs, Run string
	Machine              deploy.Machine
	Ahead                []deploy.Machine // those that come before it
	Settings             deploy.Settings
	Phase                deploy.Phase
	State                deploy.State
	Message              string
	GoesOn               bool
}

const isThere = "the driver is where it is to be killed"

// TestDriver is the driver that other tests kill.
func TestDriver(t *testing.T) {
	if os.Getenv(driverEnv) == "" {
		return
	}
	var job driverJob
	if err := json.Unmarshal([]byte(os.Getenv(driverEnv)), &job); err != nil {
		t.Fatal(err)
	}
	if job.Machine.Details == nil {
		job.Machine.Evaluate = func(context.Context, *deploy.Machine) error { return errors.New("the driver was not killed") }
	}
	events := &recorder{hook: func(e deploy.Event) {
		if e.Machine == job.Machine.Name && e.Phase == job.Phase && e.State == job.State && (job.Message == "" || e.Message == job.Message) {
			fmt.Println(isThere)
			if !job.GoesOn {
				time.Sleep(time.Hour) // its killer is near
			}
		}
	}}
	o := sshOptions(newNix(t), events, &testhost.Network{SSHConfig: job.SSHConfig})
	o.Run, o.Owner, o.Settings = job.Run, "the-dead@driver", job.Settings
	machines := append(job.Ahead, job.Machine)
	h := deploy.Header{ID: o.Run, Started: o.Now(), Settings: job.Settings}
	for _, m := range machines {
		h.Machines = append(h.Machines, m.Name)
	}
	record, err := deploy.CreateRecord(job.Runs, h)
	if err != nil {
		t.Fatal(err)
	}
	o.Record = record
	for _, r := range newDeployer(t, o).Update(t.Context(), machines).Results {
		fmt.Printf("the driver was not killed: %+v\n", r)
	}
}

// driver starts a driver and returns when it is where it is to be killed. The returned function
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
		if lines.Text() == isThere {
			return kill
		}
		said.WriteString(lines.Text() + "\n")
	}
	t.Errorf("%s: the driver ended before its time:\n%s", job.Machine.Name, said.String())
	return kill
}

// Whatever phase a driver is killed in, it leaves a machine that another driver, or
// the same run gone on with, brings to one system as a whole; meanwhile nobody else
// gets at it, and nothing of the dead driver goes on.
func TestKilledDriver(t *testing.T) {
	// What another driver is told while the first lives: of a claim, or of an
	// activation, which outlives the driver. A machine that is not reached yet is free.
	const claimed, activating = "is under way, begun by the-dead@driver", "fleet machines attach "
	// How a machine is taken over from a driver that died in its activation.
	const resume, attachRun, attachHost = "machines update --resume RUN", "machines attach RUN", "machines attach HOST"
	const waitsForIt = "the connection is lost; trying to reach the machine again"
	const holds = "while [ ! -e /run/go ]; do sleep 0.1; done"
	folder := t.TempDir()
	building := func(name string) string { return filepath.Join(folder, name) }
	builds := func(name string) string { return "while [ -e " + building(name) + " ]; do $b sleep 0.05; done" }
	cases := []struct {
		name          string
		full          bool
		first, second system
		check         string // a command that the new system's health depends on
		goal          deploy.Goal
		ahead         bool // another machine comes first, whose system is being built
		phase         deploy.Phase
		state         deploy.State
		message       string
		until         string // a file of the host: until it is there the driver goes on
		busy          string
		expires       bool   // nobody is there until the machine has gone back
		down          bool   // the machine is, until somebody waits for it
		how           string // empty: nothing was begun yet
		want          deploy.State
		said          string
		// tries is how often the system is activated in all, unless that is left to chance.
		tries int
	}{
		{name: "evaluate", phase: deploy.Evaluate, state: deploy.Started, tries: 1},
		{name: "reach", phase: deploy.Reach, state: deploy.Started, tries: 1},
		{name: "build", second: system{build: builds("build")}, phase: deploy.Build, state: deploy.Running, busy: claimed, tries: 1},
		{name: "copy", phase: deploy.Copy, state: deploy.Running, busy: claimed, tries: 1},
		{name: "turn", ahead: true, phase: deploy.Copy, state: deploy.Done, busy: claimed, tries: 1},
		{name: "secrets", phase: deploy.Secrets, state: deploy.Started, busy: claimed, tries: 1},
		{name: "begin", phase: deploy.Activate, state: deploy.Started, busy: claimed, tries: 1},
		{name: "activating", second: system{before: "echo begins; " + holds}, phase: deploy.Activate, state: deploy.Running, message: "begins", busy: activating, how: resume, tries: 1},
		{name: "activating-attach", second: system{before: "echo begins; " + holds}, phase: deploy.Activate, state: deploy.Running, message: "begins", busy: activating, how: attachHost, tries: 1},
		{name: "confirm", phase: deploy.Confirm, state: deploy.Started, busy: activating, how: attachRun, tries: 1},
		{name: "confirm-expires", phase: deploy.Confirm, state: deploy.Started, expires: true, how: resume, tries: 2},
		{name: "health", check: "touch /run/checking; " + holds, phase: deploy.Confirm, state: deploy.Started, until: "/run/checking", busy: activating, how: attachHost, tries: 1},
		{name: "committing", second: system{boot: "touch /run/committing; " + holds + ";"}, phase: deploy.Confirm, state: deploy.Started, until: "/run/committing", busy: activating, how: resume, tries: 1},
		{
			name: "rolling-back", first: system{before: "[ ! -e /run/go-back ] || { touch /run/goes-back; " + holds + "; }"}, second: system{before: "touch /run/go-back", after: "echo no ink; exit 2"},
			phase: deploy.Activate, state: deploy.Started, until: "/run/goes-back", busy: activating, how: resume,
			want: deploy.RolledBack, said: "no ink; the machine is back on generation 1", tries: 1,
		},
		{
			name: "rejected", first: system{before: "[ ! -e /run/checked ] || { touch /run/goes-back; " + holds + "; }"}, check: "touch /run/checked; echo no ink; exit 3",
			phase: deploy.Confirm, state: deploy.Started, until: "/run/goes-back", busy: activating, how: attachRun,
			want: deploy.RolledBack, said: "the health check check failed after 1 try: no ink; the machine is back on generation 1", tries: 1,
		},
		{name: "full-activating", full: true, second: system{before: "echo begins; " + holds}, phase: deploy.Activate, state: deploy.Running, message: "begins", busy: activating, how: resume, tries: 1},
		{name: "full-expires", full: true, phase: deploy.Confirm, state: deploy.Started, expires: true, how: resume, tries: 2},
		{
			name: "before-reboot", full: true, second: system{boot: "touch /run/committing; " + holds + ";"}, goal: deploy.Boot,
			phase: deploy.Activate, state: deploy.Started, until: "/run/committing", busy: activating, how: attachRun, tries: 1,
		},
		{
			name: "amid-reboot", full: true, goal: deploy.Boot,
			phase: deploy.Activate, state: deploy.Running, message: waitsForIt, down: true, how: resume,
		},
		{name: "after-reboot", full: true, goal: deploy.Boot, phase: deploy.Confirm, state: deploy.Started, busy: activating, how: attachHost, tries: 1},
		{name: "reboot-expires", full: true, goal: deploy.Boot, phase: deploy.Confirm, state: deploy.Started, expires: true, how: resume, tries: 2},
	}
	n := testhost.NewNetwork(t)
	var lights, fulls []testhost.Options
	systems := map[string]system{"ahead": {version: "1", build: builds("turn")}}
	for _, c := range cases {
		if c.full {
			fulls = append(fulls, testhost.Options{Name: c.name})
		} else {
			lights = append(lights, testhost.Options{Name: c.name})
		}
		c.first.version, c.second.version = "1", "2"
		systems[c.name+"-1"], systems[c.name+"-2"] = c.first, c.second
		must(t, os.WriteFile(building(c.name), nil, 0o644))
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
				if c.check != "" {
					m.Details.Health = &flake.Health{Checks: map[string]*flake.HealthCheck{"check": {Command: c.check, Attempts: 1, Timeout: 60}}}
				}
				if c.phase == deploy.Secrets { // it has one that is to be replaced
					on(t, h, "sh", "-c", "echo another > "+keyFile)
				}
				if c.goal != "" {
					on(t, h, "sh", "-c", asNixOS)
				}
				job := driverJob{
					SSHConfig: n.SSHConfig, Runs: t.TempDir(), Run: "20260102-" + c.name, Machine: m,
					Phase: c.phase, State: c.state, Message: c.message, GoesOn: c.until != "" || c.ahead,
					Settings: deploy.Settings{Goal: c.goal, Reboot: c.goal != "", Timeouts: deploy.Timeouts{Confirm: time.Minute}},
				}
				if c.phase == deploy.Evaluate {
					job.Machine.Details = nil
				}
				if c.ahead {
					m.Wave, job.Machine.Wave = 1, 1
					job.Ahead = []deploy.Machine{machine("ahead", flake.NixOS, "root:"+folder+"/ahead", tops["ahead"])}
				}
				kill := driver(t, x, job)
				if c.until != "" {
					wait(t, func() bool { return hostFile(h, c.until) })
				}

				o := o
				if c.busy != "" {
					other := newDeployer(t, o).Update(t.Context(), []deploy.Machine{m})
					wantState(t, other, c.name, deploy.Failed, c.busy)
				}
				if _, _, err := deploy.ResumeRecord(job.Runs, job.Run, o.Now()); !errors.Is(err, deploy.ErrRunning) {
					t.Errorf("the run of a driver that lives was taken over: %v", err)
				}
				kill()
				wait(t, func() bool { return exec.Command("pgrep", "-f", building(c.name)+" ").Run() != nil })
				must(t, os.Remove(building(c.name)))
				if c.expires {
					// The machine's time is up: a window so short that it can be waited for
					// may be over before the driver has seen it begin.
					on(t, h, "sh", "-c", `cd "/var/lib/fleet/$(cat /var/lib/fleet/current)" && ln expired decision`)
					wait(t, func() bool { // a host that restarts has no files at all for a moment
						_, _, code := h.Exec(t.Context(), "test", "!", "-e", "/var/lib/fleet/current")
						return code == 0
					})
					if got := on(t, h, "cat", "/etc/version"); got != "1" {
						t.Errorf("nobody confirmed, and it is at version %s", got)
					}
				}
				var up sync.WaitGroup
				if c.down {
					h.Kill()
					start := sync.OnceFunc(func() { up.Go(func() { must(t, h.Start()) }) })
					o.OnEvent = func(e deploy.Event) {
						if e.Message == waitsForIt {
							start()
						}
					}
				} else {
					on(t, h, "touch", "/run/go")
				}

				bare := []deploy.Machine{{Name: m.Name, Class: m.Class, Address: m.Address}}
				if c.how == "" {
					record, history, err := deploy.AttachRecord(job.Runs, job.Run, o.Now())
					if err != nil || record != nil {
						t.Errorf("the record was taken, though nothing was begun (%v)", err)
					}
					attached := newDeployer(t, o).Attach(t.Context(), bare, history)
					wantState(t, attached, c.name, deploy.NotStarted, "has not come to its activation", "fleet machines update --resume "+job.Run)
				}
				var summary *deploy.Summary
				switch c.how {
				case attachHost:
					summary = newDeployer(t, o).Attach(t.Context(), bare, nil)
				case attachRun:
					record, history, err := deploy.AttachRecord(job.Runs, job.Run, o.Now())
					if err != nil {
						t.Fatal(err)
					}
					o.Run, o.Record, o.Settings = record.ID, record, history.Settings
					summary = newDeployer(t, o).Attach(t.Context(), bare, history)
				default:
					record, history, err := deploy.ResumeRecord(job.Runs, job.Run, o.Now())
					if err != nil {
						t.Fatal(err)
					}
					o.Run, o.Record, o.Settings = record.ID, record, history.Settings
					// Where the driver died before it knew the machine, it is evaluated anew.
					known, ok := history.Evaluated[m.Name]
					if !ok {
						known = m
					}
					summary = newDeployer(t, o).Resume(t.Context(), history, append(job.Ahead, known))
				}
				up.Wait()
				must(t, o.Record.Close(o.Now()))
				if o.Record != nil {
					if again, err := deploy.ReadRecord(job.Runs, job.Run); err != nil || !again.Complete || len(again.Unfinished()) > 0 {
						t.Errorf("the record says complete %t, unfinished %v (%v)", again.Complete, again.Unfinished(), err)
					}
				}

				wantState(t, summary, c.name, cmp.Or(c.want, deploy.Done), c.said)
				out, version, code := second.OutPath, "2", 0
				if c.want == deploy.RolledBack {
					out, version, code = tops[c.name+"-1"].OutPath, "1", 4
				}
				if got := summary.ExitCode(); got != code {
					t.Errorf("exit code %d, want %d", got, code)
				}
				wantStanding(t, h, out, "system-"+version+"-link", version)
				wantPrinted(t, h, [][2]string{
					{"cat " + keyFile, testKey},
					{"pgrep -fa '[n]ix-daemon.*stdio' || true", ""},
				})
				if got := strings.Count(on(t, h, "cat", "/var/log/activations"), second.OutPath+"/bin/switch-to-configuration test"); c.tries > 0 && got != c.tries {
					t.Errorf("the system was activated %d times, want %d", got, c.tries)
				}
			})
		}
	})
}
