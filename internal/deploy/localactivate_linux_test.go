package deploy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/google/go-cmp/cmp"
)

// What stands for programs that this computer has not got. They note how they
// were called; of sudo that is only what it runs in front of the user.
const (
	calls = "/var/lib/calls"
	sudo  = `#!/bin/sh
quiet=
while :; do
  case $1 in
  -v) echo "sudo -v" >>/var/lib/calls
      [ ! -e /var/lib/locked ] || { echo "sudo: 3 incorrect password attempts" >&2; exit 1; }
      touch /var/lib/unlocked; exit ;;
  -n) quiet=1; [ -e /var/lib/unlocked ] || exit 1; shift ;;
  -H) shift ;;
  --) shift; break ;;
  *) break ;;
  esac
done
[ -n "$quiet" ] || { seen=$*; echo "sudo ${seen##* fleet }" | tail -n 1 >>/var/lib/calls; }
exec "$@"
`
	nixosRebuild = `#!/bin/sh
[ "$1" = test ] || nix-env --profile /nix/var/nix/profiles/system --set "$4" || exit
exec "$4/bin/switch-to-configuration" "$1"
`
	darwinRebuild = `#!/bin/sh
out=${0%/sw/bin/darwin-rebuild}
[ "$*" = activate ] && exec "$out/activate"
`
)

// with gives a system a program and a version.
func (s system) with(program, text, nixosVersion string) system {
	s.build += fmt.Sprintf("$b mkdir -p $out/sw/bin\ncat() { while IFS= read -r line; do echo \"$line\"; done; }\ncat > $out/sw/bin/%s <<'PROGRAM'\n%sPROGRAM\n$b chmod +x $out/sw/bin/%[1]s\necho %[3]s > $out/nixos-version\n", program, text, nixosVersion)
	return s
}

// On this computer systems are activated by nixos-rebuild and darwin-rebuild, by
// way of sudo, at the terminal; the sequence of commands is all that is to be seen
// of that from outside.
func TestLocalRebuild(t *testing.T) {
	if !deploy.InComputer(t) {
		return
	}
	bin := t.TempDir()
	program := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program("sudo", sudo)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	x := newNix(t)
	tops := flakeOf(t, x, map[string]system{
		"old":     system{version: "1", before: "kill -INT $$; kill -HUP $$"}.with("nixos-rebuild", nixosRebuild, "26.05pre-git"),
		"new":     system{version: "2"}.with("nixos-rebuild", nixosRebuild, "26.05.20260601"),
		"refuses": system{version: "3", before: "echo not today; exit 1"}.with("nixos-rebuild", nixosRebuild, "26.11pre-git"),
		"fails":   {version: "4", after: "exit 2"},
		"hangs":   {version: "5", before: "sleep 600"},
		"noboot":  system{version: "6", boot: "exit 1;"}.with("nixos-rebuild", nixosRebuild, "27.11"),
		"mac":     system{version: "7", class: flake.Darwin}.with("darwin-rebuild", darwinRebuild, ""),
		"bare":    {version: "8", class: flake.Darwin},
	})
	var shown strings.Builder
	o := options(x, &recorder{})
	o.Root = false
	o.Terminal = func(use func(io.Reader, io.Writer) error) error { return use(nil, &shown) }
	o.Timeouts = deploy.Timeouts{Activate: 3 * time.Second, Confirm: time.Minute}
	local := func(name string) []deploy.Machine {
		class := flake.NixOS
		if name == "mac" || name == "bare" {
			class = flake.Darwin
		}
		return []deploy.Machine{machine(name, class, "local", tops[name])}
	}
	update := func(name string, goal deploy.Goal) *deploy.Summary {
		o := o
		o.Goal = goal
		return newDeployer(t, o).Update(t.Context(), local(name))
	}
	// called are the calls since the last time, with the names of systems.
	called := func() (list []string) {
		text, err := os.ReadFile(calls)
		if err != nil {
			return nil
		}
		if err := os.Remove(calls); err != nil {
			t.Error(err)
		}
		for line := range strings.Lines(string(text)) {
			for name, top := range tops {
				line = strings.ReplaceAll(line, top.OutPath, name)
			}
			list = append(list, strings.TrimSpace(line))
		}
		return list
	}
	want := func(generation, system string, commands ...string) {
		t.Helper()
		if diff := cmp.Diff(commands, called()); diff != "" {
			t.Errorf("the commands: %s", diff)
		}
		if got := readLink(t, "/nix/var/nix/profiles/system"); got != "system-"+generation+"-link" {
			t.Errorf("the profile is %s, want generation %s", got, generation)
		}
		if got := readLink(t, "/run/current-system"); got != tops[system].OutPath {
			t.Errorf("%s runs, want %s", got, tops[system].OutPath)
		}
	}
	const set = "nix-env --profile /nix/var/nix/profiles/system "

	// A password that sudo does not accept is no failed activation.
	if err := os.WriteFile("/var/lib/locked", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantState(t, update("old", deploy.Switch), "old", deploy.Failed, "become root on this computer with sudo", "3 incorrect password attempts")
	if diff := cmp.Diff([]string{"sudo -v"}, called()); diff != "" {
		t.Error(diff)
	}
	if err := os.Remove("/var/lib/locked"); err != nil {
		t.Fatal(err)
	}
	// Neither looking at the plan nor comparing runs anything.
	if plan := newDeployer(t, o).Plan(t.Context(), local("old")); plan.Steps[0].Err != nil {
		t.Error(plan.Steps[0].Err)
	}
	if diff := newDeployer(t, o).Diff(t.Context(), local("old")); diff[0].Err != nil || diff[0].From != "" || diff[0].Copy.Paths != 0 {
		t.Errorf("%+v", diff)
	}
	if list := called(); list != nil {
		t.Errorf("looking ran %q", list)
	}

	// A nixos-rebuild that takes no system that is built; Ctrl-C does not end it.
	wantState(t, update("old", deploy.Switch), "old", deploy.Done)
	want("1", "old", "sudo -v", "sudo old/bin/switch-to-configuration test", "sudo "+set+"--set old", "sudo old/bin/switch-to-configuration boot")
	if got := readFile(t, "/boot/default"); got != tops["old"].OutPath {
		t.Errorf("%s boots", got)
	}
	if got := shown.String(); !strings.Contains(got, "this is 1 of old") {
		t.Errorf("the terminal shows %q", got)
	}
	wantState(t, update("old", deploy.Switch), "old", deploy.Unchanged)
	want("1", "old")

	// One that does.
	wantState(t, update("new", deploy.Test), "new", deploy.Done)
	want("1", "new", "sudo new/sw/bin/nixos-rebuild test --no-reexec --store-path new")
	wantState(t, update("new", deploy.Switch), "new", deploy.Done)
	want("2", "new", "sudo new/sw/bin/nixos-rebuild test --no-reexec --store-path new", "sudo new/sw/bin/nixos-rebuild boot --no-reexec --store-path new")
	diff := newDeployer(t, o).Diff(t.Context(), local("old"))
	if diff[0].Err != nil || len(diff[0].Packages) != 2 || diff[0].Before == 0 {
		t.Errorf("%+v", diff[0])
	}

	// What goes wrong.
	wantState(t, update("refuses", deploy.Switch), "refuses", deploy.Failed, "refused to be activated", "nothing was changed")
	want("2", "new", "sudo refuses/sw/bin/nixos-rebuild test --no-reexec --store-path refuses")
	wantState(t, update("fails", deploy.Switch), "fails", deploy.RolledBack, "the activation script failed (exit status 2)", "back on generation 2")
	want("2", "new", "sudo fails/bin/switch-to-configuration test", "sudo env NIXOS_NO_CHECK=1 new/sw/bin/nixos-rebuild test --no-reexec --store-path new")
	wantState(t, update("hangs", deploy.Switch), "hangs", deploy.RolledBack, "took longer than 3s", "back on generation 2")
	want("2", "new", "sudo hangs/bin/switch-to-configuration test", "sudo env NIXOS_NO_CHECK=1 new/sw/bin/nixos-rebuild test --no-reexec --store-path new")
	wantState(t, update("noboot", deploy.Switch), "noboot", deploy.RolledBack, "could not be made the one that is booted", "back on generation 2")
	want("2", "new", "sudo noboot/sw/bin/nixos-rebuild test --no-reexec --store-path noboot", "sudo noboot/sw/bin/nixos-rebuild boot --no-reexec --store-path noboot",
		"sudo "+set+"--switch-generation 2", "sudo env NIXOS_NO_CHECK=1 new/bin/switch-to-configuration switch")
	restart := o
	restart.Goal = deploy.Reboot
	if step := newDeployer(t, restart).Plan(t.Context(), local("old")).Steps[0]; !strings.Contains(step.Error, "cannot be restarted from here") {
		t.Errorf("its plan: %s", step.Text())
	}
	wantState(t, update("old", deploy.Reboot), "old", deploy.Failed, "cannot be restarted from here", "fleet machines update --goal boot old")
	want("2", "new")

	// Back to a generation, and to the next boot only.
	d := newDeployer(t, o)
	wantState(t, d.Rollback(t.Context(), d.PlanRollback(t.Context(), []deploy.Machine{{Name: "old", Class: flake.NixOS, Address: "local"}}, 1)), "old", deploy.Done)
	want("1", "old", "sudo old/bin/switch-to-configuration test", "sudo "+set+"--switch-generation 1", "sudo old/bin/switch-to-configuration boot")
	wantState(t, update("new", deploy.Boot), "new", deploy.Done)
	want("4", "old", "sudo new/sw/bin/nixos-rebuild boot --no-reexec --store-path new")

	// A Mac: neither check nor --dry-run, which activate.
	program("uname", "#!/bin/sh\necho Darwin\n")
	program("sysctl", "#!/bin/sh\necho '{ sec = 1700000000, usec = 0 } Tue Nov 14 22:13:20 2023'\n")
	if plan := newDeployer(t, o).Plan(t.Context(), local("mac")); plan.Steps[0].Err != nil {
		t.Error(plan.Steps[0].Err)
	}
	newDeployer(t, o).Diff(t.Context(), local("mac"))
	if list := called(); list != nil {
		t.Errorf("looking at a Mac ran %q", list)
	}
	wantState(t, update("mac", deploy.DryActivate), "mac", deploy.Failed, "nix-darwin has no dry-activate")
	if list := called(); list != nil {
		t.Errorf("a dry run of a Mac ran %q", list)
	}
	wantState(t, update("mac", deploy.Switch), "mac", deploy.Done)
	want("5", "mac", "sudo mac/sw/bin/darwin-rebuild activate", "sudo "+set+"--set mac")
	wantState(t, update("bare", deploy.Switch), "bare", deploy.Done)
	want("6", "bare", "sudo bare/activate", "sudo "+set+"--set bare")

	// Ctrl-C waits for what is under way.
	ctx, cancel := context.WithCancel(t.Context())
	events := &recorder{hook: func(e deploy.Event) {
		if e.Phase == deploy.Activate {
			cancel()
		}
	}}
	o.OnEvent = events.on
	wantState(t, newDeployer(t, o).Update(ctx, local("mac")), "mac", deploy.Done)
	want("7", "mac", "sudo mac/sw/bin/darwin-rebuild activate", "sudo "+set+"--set mac")
}

// cutOffEnv marks a process that deploys to this computer and is to be killed; it
// holds the machine as JSON.
const cutOffEnv = "FLEET_TEST_CUT_OFF"

// Of an activation on this computer whose process was killed the next status
// tells, and the next update begins it anew.
func TestLocalCutOff(t *testing.T) {
	const begun = "/run/begun"
	o := options(newNix(t), &recorder{})
	if text := os.Getenv(cutOffEnv); text != "" {
		var m deploy.Machine
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		o.OnEvent = func(e deploy.Event) {
			if e.Phase == deploy.Confirm && e.State == deploy.Started {
				must(t, os.WriteFile(begun, nil, 0o600))
				time.Sleep(time.Hour) // its killer is near
			}
		}
		newDeployer(t, o).Update(t.Context(), []deploy.Machine{m})
		t.Fatal("it was not killed")
	}
	if !deploy.InComputer(t) {
		return
	}
	tops := flakeOf(t, newNix(t), map[string]system{
		"before": {version: "1"},
		"during": {version: "2", before: "echo > " + begun + "; sleep 600"},
		"after":  {version: "3"},
	})
	local := func(name string) []deploy.Machine {
		return []deploy.Machine{machine("here", flake.NixOS, "local", tops[name])}
	}
	wantState(t, newDeployer(t, o).Update(t.Context(), local("before")), "here", deploy.Done)
	for _, name := range []string{"during", "after"} {
		text, err := json.Marshal(local(name)[0])
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLocalCutOff$")
		cmd.Env = append(os.Environ(), cutOffEnv+"="+string(text))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		wait(t, func() bool { _, err := os.Stat(begun); return err == nil })
		must(t, os.Remove(begun))
		must(t, cmd.Process.Kill())
		_ = cmd.Wait()

		d := newDeployer(t, o)
		status := d.Status(t.Context(), local("before"))[0]
		notes := strings.Join(status.Notes, "; ")
		if want := "the activation of " + tops[name].OutPath + " has not succeeded; unless it is under way, `fleet machines update here` begins anew"; status.Verdict != deploy.Differs || !strings.Contains(notes, want) {
			t.Errorf("%s: it %s: %s; want %q", name, status.Verdict, notes, want)
		}
		if temporary := "it does not run its generation 1"; strings.Contains(notes, temporary) != (name == "after") {
			t.Errorf("%s: whether %s is not told: %s", name, temporary, notes)
		}
		wantState(t, d.Update(t.Context(), local("before")), "here", deploy.Done)
		if status := d.Status(t.Context(), local("before"))[0]; !status.Good() || len(status.Notes) > 0 {
			t.Errorf("%s: after the next update: %+v", name, status)
		}
	}
}
