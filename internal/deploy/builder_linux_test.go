package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/ssh"
	"github.com/crs58/fleet/internal/testhost"
)

// Systems are built on a host of their own or on the machine itself; nothing of
// them is left here.
func TestBuildElsewhere(t *testing.T) {
	n := testhost.NewNetwork(t)
	byName := map[string]*testhost.Host{}
	for _, h := range testhost.Lights(t, n, testhost.Options{Name: "builder"}, testhost.Options{Name: "client"}, testhost.Options{Name: "self"}, testhost.Options{Name: "broken"}) {
		byName[h.Name] = h
	}
	on(t, byName["builder"], "nix-store", "--init") // two that do so at once may fail
	x := newNix(t)
	leavesNothing(t, x, slices.Collect(maps.Values(byName))...)
	tops := flakeOf(t, x, map[string]system{
		"client": {version: "1"}, "self": {version: "1"}, "builder": {version: "1"}, "broken": {version: "1", build: "echo no paper >&2; exit 1"},
	})
	var machines []deploy.Machine
	for _, name := range []string{"client", "self", "builder", "broken"} {
		m := machine(name, flake.NixOS, "ssh://"+name, tops[name])
		m.BuildHost = "ssh://builder"
		if name == "self" {
			m.BuildHost = "ssh://self"
		}
		machines = append(machines, m)
	}
	folder := machine("folder", flake.NixOS, "root:"+t.TempDir(), tops["client"])
	folder.BuildHost = "ssh://builder"
	machines = append(machines, folder)
	events := &recorder{}
	d := newDeployer(t, sshOptions(x, events, n))
	for _, s := range d.Plan(t.Context(), machines).Steps {
		want := "ssh://builder"
		if s.Machine == "self" {
			want = "ssh://self"
		}
		if s.Machine != "folder" && (s.BuildHost != want || s.Err != nil) {
			t.Errorf("the plan of %s: %+v", s.Machine, s)
		}
	}
	summary := d.Update(t.Context(), machines)
	for _, name := range []string{"client", "self", "builder"} {
		wantState(t, summary, name, deploy.Done)
		if got := on(t, byName[name], "readlink", "/run/current-system"); got != tops[name].OutPath {
			t.Errorf("%s runs %s", name, got)
		}
		if _, err := os.Stat(tops[name].OutPath); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the system of %s is here: %v", name, err)
		}
	}
	wantState(t, summary, "broken", deploy.Failed, "on ssh://builder", "no paper")
	wantState(t, summary, "folder", deploy.Failed, "build for it here")
	on(t, byName["client"], "nix-store", "--verify", "--check-contents")
	on(t, byName["builder"], "ls", tops["client"].OutPath)

	// The settings of a run go before what machines say.
	o := sshOptions(x, &recorder{}, n)
	o.BuildHost = deploy.Here
	next := flakeOf(t, x, map[string]system{"client": {version: "2"}})["client"]
	m := machine("client", flake.NixOS, "ssh://client", next)
	m.BuildHost = "ssh://builder"
	wantState(t, newDeployer(t, o).Update(t.Context(), []deploy.Machine{m}), "client", deploy.Done)
	if _, err := os.Stat(next.OutPath); err != nil {
		t.Error(err)
	}
	o.BuildHost = "ssh://gone.invalid"
	m = machine("client", flake.NixOS, "ssh://client", tops["client"])
	wantState(t, newDeployer(t, o).Update(t.Context(), []deploy.Machine{m}), "client", deploy.Failed, "reach the build host: ")
}

// A goal that is only to build reaches no machine but the one that builds: none, a
// build host by the name of its machine, or the machine for itself.
func TestJustBuild(t *testing.T) {
	n := testhost.NewNetwork(t)
	hosts := testhost.Lights(t, n, testhost.Options{Name: "builder"}, testhost.Options{Name: "client"})
	x := newNix(t)
	leavesNothing(t, x, hosts...)
	tops := flakeOf(t, x, map[string]system{"here": {version: "1"}, "builder": {version: "2"}, "client": {version: "3"}})
	for at, want := range map[string]string{"here": "", "builder": "smith", "client": "client"} {
		m := machine("client", flake.NixOS, "ssh://client", tops[at])
		var reached []string
		o := sshOptions(x, &recorder{}, n)
		o.Goal, o.Names = deploy.JustBuild, map[string]string{"ssh://builder": "smith"}
		dial := o.Dial
		o.Dial = func(ctx context.Context, machine string, host ssh.Target) (*ssh.Conn, error) {
			reached = append(reached, machine)
			return dial(ctx, machine, host)
		}
		host, message := "", "built"
		switch at {
		case "here":
			m.Address = "" // it needs none
		case "builder":
			m.BuildHost = "ssh://builder"
		case "client":
			o.BuildOnTarget, m.BuildHost = true, "ssh://builder"
		}
		if at != "here" {
			host = "ssh://" + at
			message += " on " + host
		}
		d := newDeployer(t, o)
		for _, s := range d.Plan(t.Context(), []deploy.Machine{m}).Steps {
			if s.Err != nil || s.BuildHost != host || !s.Build || s.Text() != strings.Replace(message, "built", "build", 1) {
				t.Errorf("the plan for a build %s: %+v", at, s)
			}
		}
		if len(reached) > 0 {
			t.Errorf("to plan a build %s, %q were reached", at, reached)
		}
		wantState(t, d.Update(t.Context(), []deploy.Machine{m}), "client", deploy.Done, message)
		if got := strings.Join(reached, " "); got != want {
			t.Errorf("to build %s, %q were reached, want %q", at, got, want)
		}
		_, err := os.Stat(tops[at].OutPath)
		for place, there := range map[string]bool{"here": err == nil, "builder": hostFile(hosts[0], tops[at].OutPath), "client": hostFile(hosts[1], tops[at].OutPath)} {
			if there != (place == at) {
				t.Errorf("what is to be built %s is %s: %t", at, place, there)
			}
		}
	}
}

// A system that comes from a build host is given the time that it needs, for as
// long as something of it moves.
func TestBuildHostSlow(t *testing.T) {
	n := testhost.NewNetwork(t)
	hosts := testhost.Lights(t, n, testhost.Options{Name: "builder"}, testhost.Options{Name: "client"})
	program := on(t, hosts[1], "sh", "-c", "command -v nix-store")
	on(t, hosts[1], "mkdir", "-p", "/opt/slow/sw/bin")
	on(t, hosts[1], "ln", "-s", "/opt/slow", "/run/current-system")
	must(t, hosts[1].WriteFile("/opt/slow/sw/bin/nix-store", fmt.Appendf(nil, `#!/bin/sh
[ "$1" = --import ] || exec %s "$@"
for piece in $(seq 40); do dd bs=1M count=1 iflag=fullblock 2>/dev/null; sleep 0.1; done | %[1]s "$@"
`, program), 0o755))
	x := newNix(t)
	m := machine("client", flake.NixOS, "ssh://client", flakeOf(t, x, map[string]system{
		"client": {version: "1", build: "$b mkdir $out; $b dd if=/dev/zero of=$out/ballast bs=1M count=38 2>/dev/null"},
	})["client"])
	m.BuildHost = "ssh://builder"
	events := &recorder{}
	o := sshOptions(x, events, n)
	o.Timeouts.Stall = 3 * time.Second
	wantState(t, newDeployer(t, o).Update(t.Context(), []deploy.Machine{m}), "client", deploy.Done)
	if text := eventTexts(events); strings.Contains(text, "trying again") {
		t.Errorf("the copy was given up:\n%s", text)
	}
}

// A build host that is lost while it builds, and once more while what it built is
// taken from it, is reached again by all who need it. What went wrong there before
// is not taken for the reason.
func TestBuildHostLost(t *testing.T) {
	n := testhost.NewNetwork(t)
	builder := testhost.Lights(t, n, testhost.Options{Name: "builder"}, testhost.Options{Name: "one"}, testhost.Options{Name: "two"})[0]
	on(t, builder, "nix-store", "--init") // which two at once do not do well
	program := on(t, builder, "sh", "-c", "command -v nix-daemon")
	put(t, builder, "/run/current-system/sw/bin/nix-daemon", fmt.Appendf(nil, `#!/bin/sh
mkdir /opt/once 2>/dev/null || exec %s "$@"
echo 'error: it cannot fork' >&2
exit 1
`, program), 0o755)
	x := newNix(t)
	tops := flakeOf(t, x, map[string]system{"one": {version: "1", build: "$b sleep 2"}, "two": {version: "1", build: "$b sleep 2"}})
	var machines []deploy.Machine
	for name, top := range tops {
		m := machine(name, flake.NixOS, "ssh://"+name, top)
		m.BuildHost = "ssh://builder"
		machines = append(machines, m)
	}
	var lost map[deploy.Phase]bool // nil at first
	built := 0
	o := sshOptions(x, &recorder{hook: func(e deploy.Event) {
		if e.Phase == deploy.Build && e.State == deploy.Done {
			built++
		}
		if lost != nil && (e.Phase == deploy.Build || e.Phase == deploy.Copy && built == 2) && e.State == deploy.Running && !lost[e.Phase] {
			lost[e.Phase] = true
			must(t, builder.KillSSHD())
			must(t, builder.StartSSHD())
		}
	}}, n)
	var dialled atomic.Int32
	dial := o.Dial
	o.Dial = func(ctx context.Context, machine string, host ssh.Target) (*ssh.Conn, error) {
		if host.Host == "builder" {
			dialled.Add(1)
		}
		return dial(ctx, machine, host)
	}
	d := newDeployer(t, o)
	wantState(t, d.Update(t.Context(), machines[:1]), machines[0].Name, deploy.Failed, "it cannot fork")
	lost = map[deploy.Phase]bool{}
	summary := d.Update(t.Context(), machines)
	wantState(t, summary, "one", deploy.Done)
	wantState(t, summary, "two", deploy.Done)
	if len(lost) != 2 || dialled.Load() != 4 { // twice to build, twice for exports
		t.Errorf("the build host was lost in %v and reached %d times, want 4", lost, dialled.Load())
	}
}

// A build host that builds for more machines than a connection has sessions gives
// a system that is built away nevertheless.
func TestBuildHostBusy(t *testing.T) {
	n := testhost.NewNetwork(t)
	builder := testhost.Lights(t, n, testhost.Options{Name: "builder"}, testhost.Options{Name: "quick"}, testhost.Options{Name: "other"})[0]
	on(t, builder, "nix-store", "--init")
	on(t, builder, "sh", "-c", "mkdir -p /etc/nix; echo max-jobs = 20 >>/etc/nix/nix.conf")
	systems := map[string]system{"quick": {version: "1", build: "$b sleep 4"}}
	for i := range 9 {
		systems[fmt.Sprintf("slow%d", i)] = system{version: "1", build: "$b sleep 30"}
	}
	x := newNix(t)
	var machines []deploy.Machine
	for name, top := range flakeOf(t, x, systems) {
		m := machine(name, flake.NixOS, "ssh://other", top)
		if name == "quick" {
			m.Address = "ssh://quick"
		}
		m.BuildHost = "ssh://builder"
		machines = append(machines, m)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	building, slow := make(chan struct{}), false
	o := sshOptions(x, &recorder{hook: func(e deploy.Event) {
		switch quick := e.Machine == "quick"; {
		case quick && e.Phase == deploy.Build && e.State == deploy.Started:
			close(building)
		case quick && e.Phase == deploy.End:
			cancel()
		case !quick && e.Phase == deploy.Build && e.State == deploy.Done:
			slow = true
		}
	}}, n)
	dial := o.Dial
	o.Dial = func(ctx context.Context, machine string, host ssh.Target) (*ssh.Conn, error) {
		if host.Host == "other" {
			<-building
		}
		return dial(ctx, machine, host)
	}
	o.Limits.Build = 10
	wantState(t, newDeployer(t, o).Update(ctx, machines), "quick", deploy.Done)
	if slow {
		t.Error("it waited for the builds of others")
	}
}

// A machine that another run has taken while a copy to it was tried again is left
// to that one.
func TestClaimLostWhileCopying(t *testing.T) {
	n := testhost.NewNetwork(t)
	hosts := testhost.Lights(t, n, testhost.Options{Name: "builder"}, testhost.Options{Name: "client"})
	x := newNix(t)
	m := machine("client", flake.NixOS, "ssh://client", flakeOf(t, x, map[string]system{"client": {version: "1"}})["client"])
	m.BuildHost = "ssh://builder"
	lost := false
	o := sshOptions(x, &recorder{hook: func(e deploy.Event) {
		switch {
		case e.Phase != deploy.Copy || e.State != deploy.Running:
		case strings.HasPrefix(e.Message, "trying again"):
			on(t, hosts[1], "sh", "-c", `up=$(cut -d . -f 1 /proc/uptime); echo "run-0 $up $up 1 somebody" >/run/fleet/lease`)
		case !lost:
			lost = true
			must(t, hosts[0].KillSSHD())
			must(t, hosts[0].StartSSHD())
		}
	}}, n)
	wantState(t, newDeployer(t, o).Update(t.Context(), []deploy.Machine{m}), "client", deploy.Failed, "begun by somebody")
	if hostFile(hosts[1], "/run/current-system") {
		t.Error("it was activated")
	}
}

// A build host without room is named, with the command that makes some.
func TestBuildHostFull(t *testing.T) {
	n := testhost.NewNetwork(t)
	builder := testhost.Lights(t, n, testhost.Options{Name: "builder", DiskMB: 40}, testhost.Options{Name: "client"})[0]
	must(t, builder.FillDisk("/nix"))
	x := newNix(t)
	m := machine("client", flake.NixOS, "ssh://client", flakeOf(t, x, map[string]system{"client": {version: "1"}})["client"])
	m.BuildHost = "ssh://builder"
	update := func() *deploy.Summary {
		return newDeployer(t, sshOptions(x, &recorder{}, n)).Update(t.Context(), []deploy.Machine{m})
	}
	wantState(t, update(), "client", deploy.Failed, "on ssh://builder is full", "/nix, 0 B of 41.9 MB free", "ssh builder nix-collect-garbage")
	must(t, builder.FreeDisk("/nix"))
	wantState(t, update(), "client", deploy.Done)
}
