package deploy_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/ssh"
	"github.com/crs58/fleet/internal/testhost"
	xssh "golang.org/x/crypto/ssh"
)

// sshOptions reaches the hosts of a network as its ssh configuration says.
func sshOptions(x *counted, r *recorder, n *testhost.Network) deploy.Options {
	o := options(x, r)
	o.Dial = func(ctx context.Context, _ string, host ssh.Target) (*ssh.Conn, error) {
		return ssh.Dial(ctx, ssh.Config{Target: host, Env: append(os.Environ(), "TMPDIR="+x.tmp), File: n.SSHConfig, ConnectTimeout: 5 * time.Second})
	}
	return o
}

func TestUpdateSSH(t *testing.T) {
	n := testhost.NewNetwork(t)
	hosts := testhost.Lights(t, n, testhost.Options{Name: "one"}, testhost.Options{Name: "two"}, testhost.Options{Name: "three"}, testhost.Options{Name: "four"},
		testhost.Options{Name: "killed"}, testhost.Options{Name: "impostor"}, testhost.Options{Name: "refusing"}, testhost.Options{Name: "gone"})
	byName := map[string]*testhost.Host{}
	systems := map[string]system{}
	for _, h := range hosts {
		byName[h.Name] = h
		systems[h.Name] = system{version: "1"}
	}
	systems["three"] = system{version: "1", after: "echo three is broken; exit 2"}
	systems["killed"] = system{version: "1", before: "kill -9 $PPID; exit 1"}
	forgeHostKey(t, n, byName["impostor"])
	if err := byName["refusing"].KillSSHD(); err != nil {
		t.Fatal(err)
	}
	byName["gone"].Kill()

	x := newNix(t)
	leavesNothing(t, x, slices.DeleteFunc(slices.Clone(hosts), func(h *testhost.Host) bool { return h.Name == "gone" })...)
	tops := flakeOf(t, x, systems)
	var machines []deploy.Machine
	for name, top := range tops {
		machines = append(machines, machine(name, flake.NixOS, "ssh://"+name, top))
	}
	events := &recorder{}
	o := sshOptions(x, events, n)

	began := time.Now()
	summary := newDeployer(t, o).Update(t.Context(), machines)
	t.Logf("eight hosts took %s", time.Since(began))
	for _, name := range []string{"one", "two", "four"} {
		wantState(t, summary, name, deploy.Done)
		h, out := byName[name], tops[name].OutPath
		for _, check := range []struct{ command, want string }{
			{"readlink /run/current-system", out},
			{"readlink /nix/var/nix/profiles/system", "system-1-link"},
			{"readlink /nix/var/nix/profiles/system-1-link", out},
			{"cat /etc/version", "1"},
			{"cat /var/log/activations", out + "/bin/switch-to-configuration test\nkey\n" + out + "/bin/switch-to-configuration boot"},
			{"cat /boot/default", out},
			{"ls /nix/var/nix/gcroots/fleet", ""},
			{"stat -c %a.%U /var/lib/fleet", "700.root"},
			{"cat /var/lib/sops-nix/key.txt", testKey},
			{"stat -c %a.%U /var/lib/sops-nix/key.txt", "600.root"},
			{"stat -c %a.%U /var/lib/sops-nix", "700.root"},
			{"stat -c %a /var/lib", "755"},
			{"stat -c %a /etc/version", "644"}, // the activation has an ordinary umask
			{"ls -A /run/fleet", ""},
		} {
			if got := on(t, h, strings.Fields(check.command)...); got != check.want {
				t.Errorf("%s: %s prints %q, want %q", name, check.command, got, check.want)
			}
		}
	}
	wantState(t, summary, "three", deploy.Failed, "activation script failed (exit status 2): ", "three is broken")
	wantState(t, summary, "killed", deploy.Failed, "killed")
	wantState(t, summary, "impostor", deploy.Failed, "host key has changed")
	wantState(t, summary, "refusing", deploy.Failed, "refused")
	wantState(t, summary, "gone", deploy.Failed, "gone")
	if summary.ExitCode() != 3 {
		t.Errorf("exit code %d, want 3", summary.ExitCode())
	}
	if strings.Contains(eventTexts(events), testKey) {
		t.Error("the key is in an event")
	}

	copies := x.copys
	began = time.Now()
	again := newDeployer(t, o).Update(t.Context(), machines)
	t.Logf("again, with nothing to do on three of them: %s", time.Since(began))
	for _, name := range []string{"one", "two", "four"} {
		wantState(t, again, name, deploy.Unchanged)
		if got := on(t, byName[name], "cat", "/var/log/activations"); strings.Count(got, " test") != 1 {
			t.Errorf("%s was activated again: %s", name, got)
		}
	}
	if x.copys != copies+2 { // three and killed, whose activation is tried again
		t.Errorf("%d copies for nothing", x.copys-copies-2)
	}

	status := newDeployer(t, o).Status(t.Context(), machines)
	want := map[string]deploy.Verdict{
		"one": deploy.UpToDate, "two": deploy.UpToDate, "four": deploy.UpToDate, "three": deploy.Differs, "killed": deploy.NeverDeployed,
		"impostor": deploy.Unreachable, "refusing": deploy.Unreachable, "gone": deploy.Unreachable,
	}
	for _, s := range status {
		if s.Verdict != want[s.Machine] {
			t.Errorf("%s is %q (%s), want %q", s.Machine, s.Verdict, s.Error, want[s.Machine])
		}
		if s.Verdict == deploy.UpToDate && (!s.Good() || s.Found.Generation != 1 || s.Key != deploy.KeyInPlace) {
			t.Errorf("%s: %+v", s.Machine, s)
		}
	}
}

// A plan tells what a machine has not got, and changes nothing.
func TestPlanMeasures(t *testing.T) {
	n := testhost.NewNetwork(t)
	h := testhost.Light(t, n, testhost.Options{Name: "far"})
	x, folder := newNix(t), t.TempDir()
	tops := flakeOf(t, x, map[string]system{"far": {version: "1"}, "near": {version: "1"}})
	machines := []deploy.Machine{
		machine("far", flake.NixOS, "ssh://far", tops["far"]),
		machine("near", flake.NixOS, "root:"+folder+"/near", tops["near"]),
	}
	d := newDeployer(t, sshOptions(x, &recorder{}, n))
	want := func(built bool, paths int) {
		t.Helper()
		for _, s := range d.Plan(t.Context(), machines).Steps {
			if s.Err != nil || s.Build == built || s.Copy.Known != built || s.Copy.Paths != paths || (s.Copy.Bytes > 0) != (paths > 0) {
				t.Errorf("%s: %+v; want built %t and %d paths to copy", s.Machine, s, built, paths)
			}
		}
	}
	want(false, 0)
	if code := d.Build(t.Context(), machines).ExitCode(); code != 0 {
		t.Fatalf("build: exit code %d", code)
	}
	want(true, 2) // the system and its tools
	if got := on(t, h, "sh", "-c", "ls -A /run/fleet /nix/var/nix/profiles 2>/dev/null || true"); strings.Contains(got, "system") {
		t.Errorf("the plan left %q", got)
	}
	if x.copys != 0 {
		t.Errorf("the plan copied %d times", x.copys)
	}
	// A host is asked by one script: over its link Nix would ask path by path.
	ask := x.ask
	if s := d.Plan(t.Context(), machines[:1]).Steps[0]; s.Err != nil || s.Copy.Paths != 2 || x.ask != ask {
		t.Errorf("%+v, %d questions of Nix", s, x.ask-ask)
	}
	if code := d.Update(t.Context(), machines).ExitCode(); code != 0 {
		t.Fatalf("update: exit code %d", code)
	}
	for _, s := range d.Plan(t.Context(), machines).Steps {
		if !s.Unchanged() {
			t.Errorf("%s: %+v", s.Machine, s)
		}
	}
}

// Ctrl-C does not wait for a host that does not answer, and does not leave an
// activation alone.
func TestInterruptSSH(t *testing.T) {
	n := testhost.NewNetwork(t)
	hosts := testhost.Lights(t, n, testhost.Options{Name: "silent"}, testhost.Options{Name: "busy"})
	if err := hosts[0].LinkDown(); err != nil {
		t.Fatal(err)
	}
	x := newNix(t)
	leavesNothing(t, x, hosts...)
	tops := flakeOf(t, x, map[string]system{"silent": {version: "1"}, "busy": {version: "1", before: "echo begins", after: "sleep 1"}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var interrupted time.Time
	events := &recorder{hook: func(e deploy.Event) {
		if e.Message == "begins" {
			interrupted = time.Now()
			cancel()
		}
	}}
	o := sshOptions(x, events, n)
	dial := o.Dial
	o.Dial = func(ctx context.Context, machine string, host ssh.Target) (*ssh.Conn, error) {
		conn, err := dial(ctx, machine, host)
		if machine == "silent" && time.Since(interrupted) > time.Second {
			t.Errorf("silent was waited for")
		}
		return conn, err
	}
	o.Timeouts.Reach = time.Minute
	summary := newDeployer(t, o).Update(ctx, []deploy.Machine{
		machine("silent", flake.NixOS, "ssh://silent", tops["silent"]),
		machine("busy", flake.NixOS, "ssh://busy", tops["busy"]),
	})
	wantState(t, summary, "silent", deploy.NotStarted)
	wantState(t, summary, "busy", deploy.Done)
	if summary.ExitCode() != 130 {
		t.Errorf("exit code %d, want 130", summary.ExitCode())
	}
}

// A host that is lost while it activates goes on, is found again, and the
// outcome is known after all.
func TestConnectionLostDuringActivation(t *testing.T) {
	n := testhost.NewNetwork(t)
	hosts := testhost.Lights(t, n, testhost.Options{Name: "comes-back"}, testhost.Options{Name: "stays-away"})
	x := newNix(t)
	leavesNothing(t, x, hosts...)
	slow := system{version: "1", before: "echo begins", after: "sleep 2; exit 4"}
	tops := flakeOf(t, x, map[string]system{"comes-back": slow, "stays-away": slow})
	events := &recorder{}
	events.hook = func(e deploy.Event) {
		if e.Phase != deploy.Activate || e.Message != "begins" {
			return
		}
		h := hosts[0]
		if e.Machine == "stays-away" {
			h = hosts[1]
		}
		if err := h.KillSSHD(); err != nil {
			t.Error(err)
		}
		if e.Machine == "comes-back" {
			go func() {
				time.Sleep(time.Second)
				if err := h.StartSSHD(); err != nil {
					t.Error(err)
				}
			}()
		}
	}
	o := sshOptions(x, events, n)
	o.Timeouts.Confirm, o.Timeouts.Reconnect = 10*time.Second, 5*time.Second
	summary := newDeployer(t, o).Update(t.Context(), []deploy.Machine{
		machine("comes-back", flake.NixOS, "ssh://comes-back", tops["comes-back"]),
		machine("stays-away", flake.NixOS, "ssh://stays-away", tops["stays-away"]),
	})
	wantState(t, summary, "comes-back", deploy.Failed, "units failed")
	wantState(t, summary, "stays-away", deploy.Unknown, "could not be reached again within 5s", "fleet machines attach stays-away")
	if summary.ExitCode() != 5 {
		t.Errorf("exit code %d, want 5", summary.ExitCode())
	}
	wait(t, func() bool {
		return on(t, hosts[1], "sh", "-c", "cat /var/lib/fleet/*/result 2>/dev/null || true") == "failed expired 4"
	})
}

func TestDiskFullSSH(t *testing.T) {
	n := testhost.NewNetwork(t)
	h := testhost.Light(t, n, testhost.Options{Name: "small", DiskMB: 40})
	x := newNix(t)
	leavesNothing(t, x, h)
	update := func(version string) *deploy.Summary {
		tops := flakeOf(t, x, map[string]system{"small": {version: version}})
		return newDeployer(t, sshOptions(x, &recorder{}, n)).Update(t.Context(), []deploy.Machine{machine("small", flake.NixOS, "ssh://small", tops["small"])})
	}
	for _, first := range []bool{true, false} { // before the store has a database, and after
		if err := h.FillDisk("/nix"); err != nil {
			t.Fatal(err)
		}
		wantState(t, update("1"), "small", deploy.Failed, "is full", "ssh://small", "/nix, 0 B of 41.9 MB free", "ssh small nix-collect-garbage")
		if err := h.FreeDisk("/nix"); err != nil {
			t.Fatal(err)
		}
		if first {
			wantState(t, update("2"), "small", deploy.Done)
		}
	}
	wantState(t, update("3"), "small", deploy.Done)
}

// forgeHostKey makes known_hosts expect another key than the host has.
func forgeHostKey(t *testing.T, n *testhost.Network, h *testhost.Host) {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := xssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	known, err := os.ReadFile(n.KnownHosts)
	if err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("%s,%s %s", h.IP, h.Name, xssh.MarshalAuthorizedKey(key))
	if err := os.WriteFile(n.KnownHosts, bytes.ReplaceAll(known, []byte(h.KnownHosts()), []byte(line)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// on runs a command in a host, not through its sshd.
func on(t *testing.T, h *testhost.Host, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, said, code := h.Exec(ctx, args...)
	if code != 0 {
		t.Errorf("%s: %q: exit status %d: %s", h.Name, args, code, said)
	}
	return strings.TrimSpace(out)
}
