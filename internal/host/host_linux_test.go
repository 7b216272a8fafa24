package host_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/host"
	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/vars"
	"github.com/google/go-cmp/cmp"
)

// world is a fleet of one machine whose system is built by the real Nix. Its
// values are a flag: they are there or not.
type world struct {
	nix      nix.Executor
	flake    string // folder
	root     string // folder that stands for the machine
	mu       sync.Mutex
	values   bool
	fixable  bool // Generate makes the values
	generate int  // calls of Generate
	events   []host.Event
}

func newWorld(t *testing.T, activation string) *world {
	t.Helper()
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(repo, ".cache/bin/nix")
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("the tests need Nix: run .ci/setup (%v)", err)
	}
	w := &world{
		nix: nix.New(nix.Options{
			Program: program, LogDir: t.TempDir(),
			Env: append(os.Environ(), "NIX_CONF_DIR="+filepath.Join(repo, ".ci/nix")),
		}),
		flake: t.TempDir(), root: filepath.Join(t.TempDir(), "argentum"), fixable: true,
	}
	w.write(t, activation)
	return w
}

// write makes the machine's flake; activation are the lines of its activation.
func (w *world) write(t *testing.T, activation string) {
	t.Helper()
	text := fmt.Sprintf(`{ outputs = _: { top = derivation {
  name = "darwin-system-argentum"; system = "%s"; builder = "/bin/busybox"; world = "%s";
  args = [ "sh" "-c" ''
    /bin/busybox mkdir $out
    /bin/busybox cp /bin/busybox $out/busybox
    { echo "#!$out/busybox sh"; echo "out=$out; b=$out/busybox; $activation"; } > $out/activate
    /bin/busybox chmod +x $out/activate
  '' ];
  activation = ''$b mkdir -p /run /etc; %s; $b ln -sfn $out /run/current-system'';
}; }; }`, map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]+"-"+runtime.GOOS, w.flake, activation)
	if err := os.WriteFile(filepath.Join(w.flake, "flake.nix"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (w *world) machine() host.Machine {
	return host.Machine{Name: "argentum", Class: flake.Darwin, Address: "root:" + w.root}
}

func (w *world) options() host.Options {
	return host.Options{
		Deploy: deploy.Options{
			Nix: w.nix, Now: time.Now, Random: rand.Reader, Root: true,
			MachineKey: func(context.Context, string) ([]byte, error) { return []byte("AGE-SECRET-KEY-1TEST"), nil },
		},
		Evaluate: w.evaluate,
		Generate: func(context.Context, string, *flake.Details) (string, error) {
			w.generate++
			if w.values {
				return "nothing to make", nil
			}
			w.values = w.fixable
			return "1 value made", nil
		},
		Check: func(context.Context, string, *flake.Details) ([]vars.Finding, error) {
			if w.values {
				return nil, nil
			}
			return []vars.Finding{{Machines: []string{"argentum"}, Value: "argentum/ssh/key", Problem: "is missing", Mend: "fleet vars generate argentum"}}, nil
		},
		OnEvent: func(e host.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		},
	}
}

func (w *world) evaluate(ctx context.Context, name string, toplevel bool) (*flake.Details, error) {
	details := &flake.Details{
		Name: name, SecretUploadDirectory: "/var/lib/sops-nix",
		Generators: map[string]*flake.Generator{"ssh": {Files: map[string]*flake.File{"key": {Secret: true, Deploy: true}}}},
	}
	if !toplevel {
		return details, nil
	}
	var pair [2]string
	err := w.nix.Eval(ctx, nix.EvalRequest{Installable: "path:" + w.flake + "#top", Apply: "d: [ d.drvPath d.outPath ]"}, &pair)
	details.Toplevel = &flake.Derivation{DrvPath: pair[0], OutPath: pair[1]}
	return details, err
}

// states are the steps of a report with their states.
func states(r *host.Report) map[host.Step]deploy.State {
	m := map[host.Step]deploy.State{}
	for _, s := range r.Steps {
		m[s.Step] = s.State
	}
	return m
}

func wantReport(t *testing.T, r *host.Report, code int, want map[host.Step]deploy.State) {
	t.Helper()
	for _, s := range host.Steps() {
		if _, ok := want[s]; !ok {
			want[s] = deploy.NotStarted
		}
	}
	if diff := cmp.Diff(want, states(r)); diff != "" {
		t.Errorf("steps (-want +got): %s; error %v", diff, r.Err)
	}
	if r.ExitCode() != code || (r.Err == nil) != (code == 0) || (r.Error == "") != (code == 0) {
		t.Errorf("exit code %d, want %d; error %v", r.ExitCode(), code, r.Err)
	}
}

func all(state deploy.State) map[host.Step]deploy.State {
	return map[host.Step]deploy.State{
		host.Preflight: deploy.Done, host.Vars: deploy.Done, host.Gate: deploy.Done, host.Health: deploy.Done,
		host.Build: state, host.Copy: state, host.Secrets: state, host.Activate: state,
	}
}

func TestBootstrap(t *testing.T) {
	w := newWorld(t, "echo welcome")
	before := checklist(t, w)
	if diff := cmp.Diff([]string{"evaluation ok", "values to do", "reachable ok", "age key to do", "system to do", "units ok"}, before); diff != "" {
		t.Errorf("checklist before (-want +got): %s", diff)
	}
	if _, err := os.Stat(w.root); !errors.Is(err, os.ErrNotExist) {
		t.Error("the status made the machine's folder")
	}

	r := host.Bootstrap(t.Context(), w.options(), w.machine())
	wantReport(t, r, 0, all(deploy.Done))
	if got, err := os.Readlink(w.root + "/run/current-system"); err != nil || got != r.Out {
		t.Errorf("the machine runs %s, %v, want %s", got, err, r.Out)
	}
	var order []host.Step
	said := ""
	for _, e := range w.events {
		said += e.Message + "\n"
		if e.State == deploy.Done {
			order = append(order, e.Step)
		}
	}
	if diff := cmp.Diff(host.Steps(), order); diff != "" {
		t.Errorf("order of the steps: %s", diff)
	}
	if !strings.Contains(said, "welcome") || !strings.Contains(said, "1 value made") || strings.Contains(said, "AGE-SECRET") {
		t.Errorf("the events say\n%s", said)
	}

	wantReport(t, host.Bootstrap(t.Context(), w.options(), w.machine()), 0, all(deploy.Unchanged))
	if diff := cmp.Diff([]string{"evaluation ok", "values ok", "reachable ok", "age key ok", "system ok", "units ok"}, checklist(t, w)); diff != "" {
		t.Errorf("checklist after (-want +got): %s", diff)
	}
}

func TestBootstrapStopsAtTheGate(t *testing.T) {
	w := newWorld(t, "true")
	w.fixable = false
	r := host.Bootstrap(t.Context(), w.options(), w.machine())
	wantReport(t, r, 1, map[host.Step]deploy.State{host.Preflight: deploy.Done, host.Vars: deploy.Done, host.Gate: deploy.Failed})
	if want := "the values of argentum are not ready: argentum/ssh/key: is missing; fleet vars generate argentum"; r.Error != want {
		t.Errorf("%q, want %q", r.Error, want)
	}
	if r.Next != "fleet vars generate argentum" {
		t.Errorf("next: %q", r.Next)
	}
	if _, err := os.Stat(w.root); !errors.Is(err, os.ErrNotExist) {
		t.Error("the machine was touched")
	}
}

// A bootstrap that failed in the middle goes on where it stopped.
func TestBootstrapIsResumed(t *testing.T) {
	w := newWorld(t, "echo no room; exit 1")
	r := host.Bootstrap(t.Context(), w.options(), w.machine())
	want := all(deploy.Done)
	want[host.Activate] = deploy.Failed
	delete(want, host.Health)
	wantReport(t, r, 1, want)
	if !strings.Contains(r.Error, "no room") {
		t.Errorf("error %q", r.Error)
	}

	w.write(t, "true")
	r = host.Bootstrap(t.Context(), w.options(), w.machine())
	want = all(deploy.Done)
	want[host.Secrets] = deploy.Unchanged
	wantReport(t, r, 0, want)
}

func TestBootstrapOfABadAddress(t *testing.T) {
	w := newWorld(t, "true")
	m := w.machine()
	m.Address = "local"
	r := host.Bootstrap(t.Context(), w.options(), m)
	wantReport(t, r, 1, map[host.Step]deploy.State{host.Preflight: deploy.Failed})
	if !strings.Contains(r.Error, "not a Mac") || w.generate != 0 {
		t.Errorf("error %q, values made %d times", r.Error, w.generate)
	}
}

func TestBootstrapInterrupted(t *testing.T) {
	w := newWorld(t, "true")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := w.options()
	o.OnEvent = func(e host.Event) {
		if e.Step == host.Copy && e.State == deploy.Started {
			cancel()
		}
	}
	r := host.Bootstrap(ctx, o, w.machine())
	wantReport(t, r, 130, map[host.Step]deploy.State{
		host.Preflight: deploy.Done, host.Vars: deploy.Done, host.Gate: deploy.Done, host.Build: deploy.Done, host.Copy: deploy.Interrupted,
	})
	wantReport(t, host.Bootstrap(t.Context(), w.options(), w.machine()), 0, all(deploy.Done))
}

func checklist(t *testing.T, w *world) []string {
	t.Helper()
	items, err := host.Status(t.Context(), w.options(), w.machine())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, i := range items {
		lines = append(lines, i.Name+" "+string(i.State))
		if i.State == host.Todo && i.Next == "" {
			t.Errorf("%s is to do, but how is not said", i.Name)
		}
	}
	return lines
}
