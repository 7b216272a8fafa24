package deploy_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/google/go-cmp/cmp"
)

func TestUpdateRoot(t *testing.T) {
	x, folder := newNix(t), t.TempDir()
	tops := flakeOf(t, x, map[string]system{"server": {version: "1"}, "laptop": {version: "1", class: flake.Darwin}})
	machines := []deploy.Machine{
		machine("server", flake.NixOS, "root:hosts/server", tops["server"]),
		machine("laptop", flake.Darwin, "root:"+folder+"/hosts/laptop", tops["laptop"]),
	}
	events := &recorder{}
	o := options(x, events)
	o.Directory = folder
	d := newDeployer(t, o)

	plan := d.Plan(t.Context(), machines)
	for _, s := range plan.Steps {
		if !s.Build || !s.Activate || s.Key != deploy.KeyInstall || s.Err != nil {
			t.Errorf("the plan of %s: %+v", s.Machine, s)
		}
	}
	if _, err := os.Stat(folder + "/hosts"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("planning has made %s/hosts", folder)
	}

	events.events = nil
	summary := d.Update(t.Context(), machines)
	wantState(t, summary, "server", deploy.Done)
	wantState(t, summary, "laptop", deploy.Done)
	if summary.ExitCode() != 0 || summary.Err() != nil || summary.Text() != "2 done" {
		t.Errorf("exit code %d, %v, %s", summary.ExitCode(), summary.Err(), summary.Text())
	}
	want := []deploy.Phase{deploy.Reach, deploy.Build, deploy.Copy, deploy.Secrets, deploy.Activate, deploy.Confirm, deploy.End}
	for name, programs := range map[string][2]string{
		"server": {"bin/switch-to-configuration test", "bin/switch-to-configuration boot"}, "laptop": {"activate"},
	} {
		root, out := folder+"/hosts/"+name, tops[name].OutPath
		if diff := cmp.Diff(want, events.phases(name)); diff != "" {
			t.Errorf("phases of %s: %s", name, diff)
		}
		if got := readLink(t, root+"/run/current-system"); got != out {
			t.Errorf("%s runs %s, want %s", name, got, out)
		}
		if got := readLink(t, root+"/nix/var/nix/profiles/system"); got != "system-1-link" {
			t.Errorf("the profile of %s is %s", name, got)
		}
		if got := readLink(t, root+"/nix/var/nix/profiles/system-1-link"); got != out {
			t.Errorf("generation 1 of %s is %s, want %s", name, got, out)
		}
		if got, want := readFile(t, root+"/var/log/activations"), activations(out, programs); !sameWords(got, want) {
			t.Errorf("%s was activated by %q, want %q", name, got, want)
		}
		key := root + "/var/lib/sops-nix/key.txt"
		if got := readFile(t, key); got != testKey {
			t.Errorf("the key of %s is wrong", name)
		}
		wantMode(t, key, 0o600)
		wantMode(t, filepath.Dir(key), 0o700)
		wantMode(t, root+"/var/lib", 0o755)
		wantMode(t, root+"/run", 0o755)
		wantMode(t, root+"/run/fleet", 0o700)
		if left, _ := os.ReadDir(root + "/run/fleet"); len(left) != 0 {
			t.Errorf("%s keeps %v in /run/fleet", name, left)
		}
	}
	if seen := len(events.events); seen == 0 || strings.Contains(eventTexts(events), testKey) {
		t.Errorf("%d events, or the key is among them", seen)
	}

	builds, copies := x.builds, x.copys
	again := newDeployer(t, o).Update(t.Context(), machines)
	wantState(t, again, "server", deploy.Unchanged)
	wantState(t, again, "laptop", deploy.Unchanged)
	if x.builds != builds || x.copys != copies {
		t.Errorf("nothing to do, but %d builds and %d copies", x.builds-builds, x.copys-copies)
	}

	next := flakeOf(t, x, map[string]system{"server": {version: "2"}})
	machines[0] = machine("server", flake.NixOS, "root:hosts/server", next["server"])
	third := newDeployer(t, o).Update(t.Context(), machines)
	wantState(t, third, "server", deploy.Done)
	wantState(t, third, "laptop", deploy.Unchanged)
	if got := readLink(t, folder+"/hosts/server/nix/var/nix/profiles/system"); got != "system-2-link" {
		t.Errorf("the profile is %s, want generation 2", got)
	}
	if got := readFile(t, folder+"/hosts/server/etc/version"); got != "2" {
		t.Errorf("the server is at version %s, want 2", got)
	}
}

// A machine whose key was lost or opened to others gets it again.
func TestKeyIsMended(t *testing.T) {
	x, folder := newNix(t), t.TempDir()
	tops := flakeOf(t, x, map[string]system{"server": {version: "1"}})
	machines := []deploy.Machine{machine("server", flake.NixOS, "root:"+folder+"/server", tops["server"])}
	o := options(x, &recorder{})
	wantState(t, newDeployer(t, o).Update(t.Context(), machines), "server", deploy.Done)
	key := folder + "/server/var/lib/sops-nix/key.txt"
	for name, harm := range map[string]func() error{
		"other key": func() error { return os.WriteFile(key, []byte("another"), 0o600) },
		"open mode": func() error { return os.Chmod(key, 0o644) },
		"gone":      func() error { return os.Remove(key) },
	} {
		if err := harm(); err != nil {
			t.Fatal(err)
		}
		wantState(t, newDeployer(t, o).Update(t.Context(), machines), "server", deploy.Done)
		if got := readFile(t, key); got != testKey {
			t.Errorf("%s: the key was not put back", name)
		}
		wantMode(t, key, 0o600)
	}
}

func TestOneFailsAlone(t *testing.T) {
	x, folder := newNix(t), t.TempDir()
	tops := flakeOf(t, x, map[string]system{
		"good":    {version: "1"},
		"nobuild": {version: "1", build: "echo no paper >&2; exit 1"},
		"script":  {version: "1", after: "echo the script is broken; exit 2"},
		"units":   {version: "1", after: "exit 4"},
		"warned":  {version: "1", after: "echo Failed to reload a.service; exit 4"},
		"reboot":  {version: "1", after: "exit 100"},
		"crash":   {version: "1", after: "exit 7"},
		"elsewhere": {
			version: "1", after: "ln -sfn /somewhere /run/current-system",
		},
		"nokey": {version: "1"},
	})
	var machines []deploy.Machine
	for name, top := range tops {
		m := machine(name, flake.NixOS, "root:"+folder+"/"+name, top)
		if name == "warned" {
			m.Details.Health = &flake.Health{FailedUnits: "warn"}
		}
		machines = append(machines, m)
	}
	if err := os.WriteFile(folder+"/file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	noAddress := machine("noaddress", flake.NixOS, "", tops["good"])
	notFolder := machine("notfolder", flake.NixOS, "root:"+folder+"/file", tops["good"])
	notHere := machine("nothere", flake.Darwin, "local", tops["good"])
	noEval := deploy.Machine{Name: "noeval", Class: flake.NixOS, Address: "root:" + folder + "/noeval", Err: errors.New("undefined variable 'foo', at x.nix:3")}
	machines = append(machines, noAddress, notFolder, notHere, noEval)
	o := options(x, &recorder{})
	o.MachineKey = func(_ context.Context, name string) ([]byte, error) {
		if name == "nokey" {
			return nil, noMachineKey()
		}
		return []byte(testKey), nil
	}

	summary := newDeployer(t, o).Update(t.Context(), machines)
	wantState(t, summary, "good", deploy.Done)
	wantState(t, summary, "nobuild", deploy.Failed, "no paper")
	wantState(t, summary, "script", deploy.Failed, "activation script failed (exit status 2): ", "the script is broken", "fleet machines update script")
	wantState(t, summary, "units", deploy.Failed, "units failed")
	wantState(t, summary, "warned", deploy.Done, "units failed: ", "Failed to reload a.service")
	wantState(t, summary, "reboot", deploy.Done, "must be rebooted")
	wantState(t, summary, "crash", deploy.Failed, "exit status 7", "no earlier system to go back to")
	wantState(t, summary, "elsewhere", deploy.Failed, "the machine runs /somewhere")
	wantState(t, summary, "nokey", deploy.Failed, "fleet vars generate nokey")
	wantState(t, summary, "noaddress", deploy.Failed, "deploy.targetHost")
	wantState(t, summary, "notfolder", deploy.Failed, folder+"/file")
	wantState(t, summary, "nothere", deploy.Failed, "not a Mac")
	wantState(t, summary, "noeval", deploy.Failed, "x.nix:3")
	if summary.ExitCode() != 3 {
		t.Errorf("exit code %d, want 3", summary.ExitCode())
	}
	names := []string{}
	for _, r := range summary.Results {
		names = append(names, r.Machine)
		if (r.State == deploy.Failed) != (r.Err != nil) {
			t.Errorf("%s is %s with the error %v", r.Machine, r.State, r.Err)
		}
	}
	if !slices.IsSorted(names) {
		t.Errorf("the summary is not sorted: %v", names)
	}
	for _, name := range []string{"nokey", "noeval"} {
		if _, err := os.Stat(folder + "/" + name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was touched", name)
		}
	}

	// A failed activation is not taken for a machine that is as it should be.
	again := newDeployer(t, o).Update(t.Context(), []deploy.Machine{machine("script", flake.NixOS, "root:"+folder+"/script", tops["script"])})
	wantState(t, again, "script", deploy.Failed, "activation script failed")
	if again.ExitCode() != 1 {
		t.Errorf("exit code %d, want 1", again.ExitCode())
	}
}

func TestBuild(t *testing.T) {
	x := newNix(t)
	foreign := "riscv64-none"
	tops := flakeOf(t, x, map[string]system{
		"good": {version: "1"}, "broken": {version: "1", build: "echo no paper >&2; exit 1"}, "foreign": {version: "1", platform: foreign},
	})
	var machines []deploy.Machine
	for name, top := range tops {
		machines = append(machines, machine(name, flake.NixOS, "", top))
	}
	machines = append(machines, deploy.Machine{Name: "noeval", Err: errors.New("undefined variable 'foo'")})
	summary := newDeployer(t, options(x, &recorder{})).Build(t.Context(), machines)
	wantState(t, summary, "good", deploy.Done)
	wantState(t, summary, "broken", deploy.Failed, "no paper")
	wantState(t, summary, "foreign", deploy.Failed, "cannot be built here ("+foreign+")", "remote builder")
	wantState(t, summary, "noeval", deploy.Failed, "undefined variable")
	if summary.ExitCode() != 3 {
		t.Errorf("exit code %d, want 3", summary.ExitCode())
	}
	if _, err := os.Stat(result(t, summary, "good").Out); err != nil {
		t.Error(err)
	}
}

func TestInterrupt(t *testing.T) {
	x, folder := newNix(t), t.TempDir()
	slow := "$b sleep 30" // longer than the test
	for _, test := range []struct {
		name  string
		at    deploy.Phase
		sys   system
		state deploy.State
		text  string
	}{
		{"before", deploy.Reach, system{}, deploy.NotStarted, "before anything was done"},
		{"build", deploy.Build, system{build: slow}, deploy.Interrupted, "as it was"},
		{"copy", deploy.Copy, system{}, deploy.Interrupted, "runs what it ran"},
		{"secrets", deploy.Secrets, system{}, deploy.Interrupted, "before activation"},
		{"activate", deploy.Activate, system{before: "sleep 1"}, deploy.Done, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.sys.version = "1"
			tops := flakeOf(t, x, map[string]system{test.name: test.sys})
			root := folder + "/" + test.name
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			events := &recorder{hook: func(e deploy.Event) {
				if e.Phase == test.at && e.State == deploy.Started {
					cancel()
				}
			}}
			began := time.Now()
			summary := newDeployer(t, options(x, events)).Update(ctx, []deploy.Machine{machine(test.name, flake.NixOS, "root:"+root, tops[test.name])})
			if at := result(t, summary, test.name); test.at == deploy.Reach && at.State == deploy.Interrupted {
				test.state, test.text = at.State, "as it was" // its build had begun beside
			}
			wantState(t, summary, test.name, test.state, test.text)
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("it took %s to stop", took)
			}
			wantCode := 130
			if test.state == deploy.Done {
				wantCode = 0
			}
			if summary.ExitCode() != wantCode {
				t.Errorf("exit code %d, want %d", summary.ExitCode(), wantCode)
			}
			_, err := os.Readlink(root + "/run/current-system")
			if active := err == nil; active != (test.state == deploy.Done) {
				t.Errorf("activated: %t", active)
			}
		})
	}
}

// An activation that does not end is ended, and the folder is at its earlier
// system again.
func TestOverdueRoot(t *testing.T) {
	x, folder := newNix(t), t.TempDir()
	root := folder + "/slow"
	tops := flakeOf(t, x, map[string]system{"good": {version: "1"}, "slow": {version: "2", before: "echo busy; echo 2 > /etc/version; sleep 600"}})
	o := options(x, &recorder{})
	wantState(t, newDeployer(t, o).Update(t.Context(), []deploy.Machine{machine("slow", flake.NixOS, "root:"+root, tops["good"])}), "slow", deploy.Done)
	o.Timeouts.Activate = 500 * time.Millisecond
	summary := newDeployer(t, o).Update(t.Context(), []deploy.Machine{machine("slow", flake.NixOS, "root:"+root, tops["slow"])})
	wantState(t, summary, "slow", deploy.RolledBack, "took longer than 500ms and was stopped: busy; the machine is back on generation 1")
	if summary.ExitCode() != 4 {
		t.Errorf("exit code %d, want 4", summary.ExitCode())
	}
	if got := readLink(t, root+"/run/current-system"); got != tops["good"].OutPath {
		t.Errorf("it runs %s", got)
	}
	if got := readFile(t, root+"/etc/version"); got != "1" {
		t.Errorf("it is at version %s", got)
	}
}

// An activation goes on whose process was killed, and nobody else gets the folder
// until it has ended.
func TestRootCutOff(t *testing.T) {
	o := options(newNix(t), &recorder{})
	o.Owner = "ann@one"
	if text := os.Getenv(cutOffEnv); text != "" {
		var m deploy.Machine
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		newDeployer(t, o).Update(t.Context(), []deploy.Machine{m})
		t.Fatal("it was not killed")
	}
	root := t.TempDir()
	tops := flakeOf(t, o.Nix, map[string]system{
		"during": {version: "1", before: "echo > /run/begun; while [ ! -e /run/go ]; do sleep 0.1; done"},
		"after":  {version: "2"},
	})
	at := func(name string) []deploy.Machine {
		return []deploy.Machine{machine("here", flake.NixOS, "root:"+root, tops[name])}
	}
	text, err := json.Marshal(at("during")[0])
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRootCutOff$")
	cmd.Env = append(os.Environ(), cutOffEnv+"="+string(text))
	must(t, cmd.Start())
	t.Cleanup(func() { _ = os.WriteFile(root+"/run/go", nil, 0o600) })
	wait(t, func() bool { _, err := os.Stat(root + "/run/begun"); return err == nil })
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()

	const busy, status = "is under way, begun by ann@one ", "fleet machines status here"
	o.Owner = "bob@two"
	bare := []deploy.Machine{{Name: "here", Class: flake.NixOS, Address: "root:" + root}}
	history := &deploy.History{
		Header: deploy.Header{ID: "1", Machines: []string{"here"}}, Begun: map[string]deploy.Begun{"here": {Machine: "here", Target: "root:" + root, ID: "2"}},
	}
	attach := func(h *deploy.History) *deploy.Summary { return newDeployer(t, o).Attach(t.Context(), bare, h) }
	wantState(t, newDeployer(t, o).Update(t.Context(), at("after")), "here", deploy.Failed, busy, status)
	wantState(t, attach(nil), "here", deploy.Failed, busy, "; it can be followed only where it was begun", status)
	wantState(t, attach(history), "here", deploy.Unknown, busy, "; it can be followed only where it was begun", status)
	if notes := newDeployer(t, o).Status(t.Context(), at("after"))[0].Notes; !strings.Contains(strings.Join(notes, "; "), busy) {
		t.Errorf("its status says %q", notes)
	}
	if got := readFile(t, root+"/run/fleet/activating"); got != tops["during"].OutPath {
		t.Errorf("the marker says %q", got)
	}

	must(t, os.WriteFile(root+"/run/go", nil, 0o600))
	wait(t, func() bool { return !strings.Contains(attach(nil).Results[0].Message, busy) })
	wantState(t, attach(nil), "here", deploy.Failed, "a folder does not keep how its activations ended", status)
	wantState(t, attach(history), "here", deploy.Unknown, "it has forgotten the activation 2 of the run", status)
	wantState(t, newDeployer(t, o).Update(t.Context(), at("after")), "here", deploy.Done)
}

func TestDiskFullRoot(t *testing.T) {
	x, folder := newNix(t), t.TempDir()
	root := folder + "/small"
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("fleet-test", root, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(root, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	tops := flakeOf(t, x, map[string]system{"small": {version: "1"}})
	summary := newDeployer(t, options(x, &recorder{})).Update(t.Context(), []deploy.Machine{machine("small", flake.NixOS, "root:"+root, tops["small"])})
	wantState(t, summary, "small", deploy.Failed, "is full", root, "nix store gc")
}

func wantMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Error(err)
		return
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("%s has mode %o, want %o", path, got, want)
	}
}

// activations is what a log of activations says of a system's programs.
func activations(out string, programs [2]string) string {
	text := out + "/" + programs[0] + " key "
	if programs[1] != "" {
		text += out + "/" + programs[1]
	}
	return text
}

func sameWords(a, b string) bool { return slices.Equal(strings.Fields(a), strings.Fields(b)) }

func eventTexts(r *recorder) string {
	var b strings.Builder
	for _, e := range r.events {
		b.WriteString(e.Message + "\n")
	}
	return b.String()
}

// wait waits for something to become true, but not for ever.
func wait(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited for too long")
		}
	}
}
