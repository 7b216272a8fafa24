package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/testhost"
)

// newTiny makes a fleet of light hosts, each a machine of its name that is quickly
// evaluated and built.
func newTiny(t *testing.T, n *testhost.Network, hosts []*testhost.Host) *demo {
	t.Helper()
	byName := map[string]*testhost.Host{}
	for _, h := range hosts {
		byName[h.Name] = h
	}
	d := newProgram(t, n, byName)
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(d.dir, os.DirFS(filepath.Join(repo, "testdata/script/tiny"))); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("git", "-C", d.dir, "init", "--quiet").CombinedOutput(); err != nil {
		t.Fatalf("git init: %v\n%s", err, out)
	}
	d.write(t, "flake.nix", strings.ReplaceAll(d.read(t, "flake.nix"), "@ROOT@", repo))
	if err := os.RemoveAll(filepath.Join(d.dir, "modules")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(d.dir, "modules"), 0o700); err != nil {
		t.Fatal(err)
	}
	addresses := map[string]string{}
	for name, h := range byName {
		addresses[name] = address(h)
	}
	text, err := json.Marshal(addresses)
	if err != nil {
		t.Fatal(err)
	}
	d.write(t, "addresses.json", string(text))
	d.write(t, "e2e.json", "{}")
	d.write(t, "modules/machines.nix", testdata(t, "many.nix"))
	d.write(t, "modules/e2e.nix", testdata(t, "e2e.nix"))
	return d
}

// Of eight machines three fail, each in a way of its own: the five others are
// updated, and of the three is said what happened and what to do.
func TestThreeOfEightFail(t *testing.T) {
	n := testhost.NewNetwork(t)
	good := []string{"one", "two", "three", "four", "five"}
	var options []testhost.Options
	for _, name := range append(good, "silent", "nobuild", "broken") {
		options = append(options, testhost.Options{Name: name})
	}
	hosts := testhost.Lights(t, n, options...)
	d := newTiny(t, n, hosts)
	d.must(t, "vars", "keys", "init")
	d.must(t, "machines", "update", "--all")

	change := map[string]variant{}
	for _, name := range append(good, "silent") {
		change[name] = variant{Version: "2"}
	}
	change["nobuild"] = variant{Version: "2", Build: "echo 'the compiler gave up' >&2; exit 3"}
	change["broken"] = variant{Version: "2", Activate: "echo 'no paper in tray 2' >&2; (exit 3)"}
	d.declare(t, change)
	if err := d.hosts["silent"].LinkDown(); err != nil {
		t.Fatal(err)
	}
	p := d.expect(t, 3, "machines", "update", "--all")
	p.wantStates(t, map[string]string{
		"one": "done", "two": "done", "three": "done", "four": "done", "five": "done",
		"silent": "failed", "nobuild": "failed", "broken": "rolled back",
	})
	if p.lastLine() != "5 done, 2 failed, 1 rolled back" {
		t.Errorf("the last line is not the sum:\n%s", p.stderr())
	}
	ip := d.hosts["silent"].IP.String() // of which the kernel may know after a while that it has no route
	p.wantProblem(t, "silent", "ssh root@"+ip+" true", "connect to "+ip+": ")
	p.wantProblem(t, "nobuild", "fleet machines build nobuild", "the compiler gave up")
	p.wantProblem(t, "broken", "fleet machines update broken", "the activation script failed (exit status 2)", "no paper in tray 2", "the machine is back on generation 1")
	rows := p.rows(t)
	for _, name := range good {
		wantVersion(t, d.hosts[name], rows[name].system, "2")
	}
	for _, name := range []string{"nobuild", "broken"} {
		wantVersion(t, d.hosts[name], "", "1")
	}
	if err := d.hosts["silent"].LinkUp(); err != nil {
		t.Fatal(err)
	}
	wantNothingLeft(t, hosts...)

	// Whoever reads the result by program is told the same.
	var result *deploy.Summary
	for line := range strings.Lines(d.expect(t, 3, "machines", "update", "--all", "--json").stdout()) {
		var said struct{ Result *deploy.Summary }
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		result = said.Result
	}
	if result == nil || result.Count(deploy.Unchanged) != 5 || result.Count(deploy.Failed) != 1 || result.Count(deploy.RolledBack) != 1 || result.Count(deploy.Done) != 1 {
		t.Errorf("the result is %+v", result)
	}
	for _, r := range result.Results {
		if bad := r.State == deploy.Failed || r.State == deploy.RolledBack; bad && r.Message == "" || bad != (r.Next != "") {
			t.Errorf("%s is %s: %q, next %q", r.Machine, r.State, r.Message, r.Next)
		}
	}
	wantNothingLeft(t, hosts...)

	d.testUnknown(t, "one")
}

// testUnknown loses a machine in the middle of its activation, for good as it seems:
// nobody is let in any more. It goes back by itself, which attach finds out.
func (d *demo) testUnknown(t *testing.T, machine string) {
	h := d.hosts[machine]
	d.declare(t, map[string]variant{machine: {Version: "3"}})
	hold(t, h)
	p := d.start(t, nil, "machines", "update", machine, "--confirm-timeout", "1s")
	held(t, h, p)
	on(t, h, "sed", "-i", "/^root:/s,/bin/sh$,/bin/false,", "/etc/passwd")
	release(t, h) // the next connection is the one that confirms
	if code := p.wait(t); code != 5 {
		t.Fatalf("exit code %d, want 5:\n%s", code, p)
	}
	p.wantStates(t, map[string]string{machine: "unknown"})
	p.wantProblem(t, machine, "fleet machines attach "+machine, "outcome unknown: the activation on "+address(h)+" cannot be watched")
	until(t, machine+" goes back by itself", func() bool { return stand(t, h).activating == "" })
	wantVersion(t, h, "", "2")
	on(t, h, "sed", "-i", "/^root:/s,/bin/false$,/bin/sh,", "/etc/passwd")
	wantNothingLeft(t, h)
	joined := d.expect(t, 4, "machines", "attach", machine)
	joined.wantStates(t, map[string]string{machine: "rolled back"})
	joined.wantProblem(t, machine, "fleet machines update "+machine, "the new system was not confirmed within 1s")
}

// wantNothingLeft waits until nothing of a deploy is left on hosts; what it may
// leave here is looked at whenever the program ends.
func wantNothingLeft(t *testing.T, hosts ...*testhost.Host) {
	t.Helper()
	for _, h := range hosts {
		deadline := time.Now().Add(limit)
		for left := h.Leftovers(); len(left) > 0; left = h.Leftovers() {
			if time.Now().After(deadline) {
				t.Errorf("on %s is left:\n%s", h.Name, strings.Join(left, "\n"))
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}
