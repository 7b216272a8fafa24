package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/testhost"
	sources "github.com/crs58/fleet/testdata"
)

// The systems of both programs are made of the same modules, by their ways of
// writing down a fleet.
const (
	morphMachine = `{ lib, ... }: {
  nixpkgs.hostPlatform = "@system@";
  environment.etc.version.text = lib.fileContents ./version;
}
`
	morphFlake = `{
  inputs.nixpkgs.url = "path:./nixpkgs";
  outputs = { nixpkgs, ... }: {
    nixosConfigurations = nixpkgs.lib.genAttrs [ @hosts@ ] (name: nixpkgs.lib.nixosSystem {
      modules = [ ./machine.nix { networking.hostName = name; } ];
    });
  };
}
`
	morphNetwork = `let
  lib = import ./nixpkgs/lib;
  pkgs = import ./nixpkgs/pkgs { inherit lib; system = "@system@"; };
in
{
  network = {
    inherit (pkgs) runCommand;
    lib = lib // { scrubOptionValue = value: value; };
    evalConfig = ./eval-config.nix;
  };
}
// lib.genAttrs [ @hosts@ ] (_: ./machine.nix)
`
	morphEvalConfig = `{ modules, specialArgs, system }:
let
  lib = import ./nixpkgs/lib;
in
import ./nixpkgs/modules/nixos/system.nix {
  inherit lib;
  # What a flake says of itself, with its folder.
  nixpkgs = { outPath = ./nixpkgs; inputs.tools = ./nixpkgs/pkgs/no-tools; __toString = self: toString self.outPath; };
} {
  inherit modules specialArgs system;
}
`
)

// morphBench is eight light hosts for each of two programs, that deploy the same
// systems from one folder.
type morphBench struct {
	b         *testing.B
	dir, home string
	env       []string
	version   int
}

func newMorphBench(b *testing.B, checkout string) *morphBench {
	b.Helper()
	repo, err := filepath.Abs("../..")
	if err != nil {
		b.Fatal(err)
	}
	m := &morphBench{b: b, dir: b.TempDir(), home: b.TempDir()}
	bin := b.TempDir()
	m.env = append(os.Environ(), "HOME=/root", "TMPDIR="+b.TempDir(), "NIX_CONF_DIR="+filepath.Join(repo, ".ci/nix"), "NIX_USER_CONF_FILES=/dev/null",
		"PATH="+bin+":"+filepath.Join(repo, ".cache/bin")+":"+os.Getenv("PATH"), "GOFLAGS=-buildvcs=false")
	for _, name := range []string{"nix-build", "nix-instantiate", "nix-copy-closure"} {
		m.must(os.Symlink(filepath.Join(repo, ".cache/bin/nix"), filepath.Join(bin, name)))
	}
	m.command(repo, "go", "build", "-o", filepath.Join(bin, "fleet"), "./cmd/fleet")
	m.command(checkout, "go", "build", "-o", filepath.Join(bin, "morph"), "-ldflags=-X main.assetRoot="+filepath.Join(checkout, "data"), ".")

	n := testhost.NewNetwork(b)
	var hosts []testhost.Options
	names := map[string]string{}
	for i := range 8 {
		for _, program := range []string{"fleet", "morph"} {
			name := fmt.Sprintf("%s%d", program, i)
			names[program] += fmt.Sprintf("%q ", name)
			// morph calls sudo as root too; a host with a user is set up for it.
			hosts = append(hosts, testhost.Options{Name: name, Users: []testhost.User{{Name: "ops"}}})
		}
	}
	testhost.Lights(b, n, hosts...)
	config, err := os.ReadFile(n.SSHConfig)
	m.must(err)
	m.must(os.Mkdir(filepath.Join(m.home, ".ssh"), 0o700))
	m.must(os.WriteFile(filepath.Join(m.home, ".ssh/config"), config, 0o600))

	m.must(os.CopyFS(m.dir, sources.Nix))
	system := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH] + "-linux"
	for file, text := range map[string]string{
		"machine.nix": morphMachine, "eval-config.nix": morphEvalConfig,
		"flake.nix":   strings.Replace(morphFlake, "@hosts@", names["fleet"], 1),
		"network.nix": strings.Replace(morphNetwork, "@hosts@", names["morph"], 1),
	} {
		text = strings.ReplaceAll(text, "@system@", system)
		m.must(os.WriteFile(filepath.Join(m.dir, file), []byte(text), 0o644))
	}
	m.next()
	for _, args := range []string{"init --quiet", "add --all"} {
		m.command(m.dir, "git", strings.Fields(args)...)
	}
	m.command(m.dir, "nix", "flake", "lock")
	m.command(m.dir, "git", "add", "--all")
	return m
}

func (m *morphBench) must(err error) {
	m.b.Helper()
	if err != nil {
		m.b.Fatal(err)
	}
}

// next changes the systems of all hosts.
func (m *morphBench) next() {
	m.version++
	m.must(os.WriteFile(filepath.Join(m.dir, "version"), fmt.Appendln(nil, m.version), 0o644))
}

// command runs a program with an own home folder, bound over /root: OpenSSH looks
// for ~/.ssh/config there whatever HOME says.
func (m *morphBench) command(dir, program string, args ...string) (string, time.Duration) {
	m.b.Helper()
	ctx, cancel := context.WithTimeout(m.b.Context(), 10*time.Minute)
	defer cancel()
	wrapper := []string{"--mount", "/bin/bash-static", "-ec", `/bin/busybox mount -o bind "$1" /root; shift; exec "$@"`, "-", m.home, program}
	if program == "go" { // has its cache in the real one
		wrapper = []string{"--mount", program}
	}
	cmd := exec.CommandContext(ctx, "unshare", append(wrapper, args...)...)
	cmd.Dir, cmd.Env = dir, m.env
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.b.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
	return string(out), time.Since(start)
}

// fleet updates the selected machines, which is to end with a sum.
func (m *morphBench) fleet(selection, sum string) time.Duration {
	m.b.Helper()
	out, took := m.command(m.dir, "fleet", "machines", "update", selection)
	if !strings.HasSuffix(out, sum+"\n") {
		m.b.Fatalf("fleet does not end with %q:\n%s", sum, out)
	}
	return took
}

// morph deploys to so many hosts whose names match.
func (m *morphBench) morph(glob string, hosts int) time.Duration {
	m.b.Helper()
	out, took := m.command(m.dir, "morph", "deploy", "--on", glob, "network.nix", "switch")
	if strings.Count(out, "Done: ") != hosts {
		m.b.Fatalf("morph is not done with %d:\n%s", hosts, out)
	}
	return took
}

// BenchmarkMorph deploys the same eight systems with morph, of the checkout morph in
// the folder that FLEET_REAL names, and with fleet, each to eight light hosts of its
// own: for the first time, which is measured once, after a change of all, with
// nothing to do, and after a change to one of them alone. Both evaluate with the same
// Nix and the same modules, build into one store, and log in with the same key.
//
// morph evaluates three times, builds all systems as one, and goes from host to host:
// copy, profile, switch, in three logins, whether something has changed or not. It
// takes no lock, waits for no confirmation, looks at no unit, and never goes back.
// fleet keeps the evaluation of a tree that has not changed, and asks a host what it
// runs first; in a deploy it does more: a claim, a supervisor, a second login that
// confirms, the boot loader only after that, and the record of the run.
func BenchmarkMorph(b *testing.B) {
	checkout := filepath.Join(os.Getenv("FLEET_REAL"), "morph")
	if _, err := os.Stat(checkout); err != nil || os.Getenv("FLEET_REAL") == "" {
		b.Log("FLEET_REAL names no folder with morph: there is nothing to compare with")
		return
	}
	m := newMorphBench(b, checkout)
	report := func(what string, fleet, morph time.Duration) {
		b.ReportMetric(fleet.Seconds(), what+"-fleet-s")
		b.ReportMetric(morph.Seconds(), what+"-morph-s")
		b.ReportMetric(float64(fleet)/float64(morph), what+"-ratio")
	}
	morph := func() time.Duration { return m.morph("morph*", 8) }
	firstFleet, firstMorph := m.fleet("fleet*", "8 done"), morph()
	for b.Loop() {
		change := median(3, func() time.Duration { m.next(); return m.fleet("fleet*", "8 done") }, morph)
		nothing := median(3, func() time.Duration { return m.fleet("fleet*", "8 unchanged") }, morph)
		one := median(3, func() time.Duration { m.next(); return m.fleet("fleet0", "1 done") }, func() time.Duration { return m.morph("morph0", 1) })
		report("first", firstFleet, firstMorph)
		report("change", change[0], change[1])
		report("nothing", nothing[0], nothing[1])
		report("one", one[0], one[1])
	}
}
