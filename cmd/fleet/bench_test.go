package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The budgets of the design that concern the program as a whole. Both sides of
// a ratio are measured in turn in one run, as medians.

const rounds = 7 // of what takes no second

// demoFleet makes the demo fleet with the program that `make bench` has built.
func demoFleet(b *testing.B) (run func(args ...string) time.Duration, dir string) {
	b.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		b.Fatal(err)
	}
	program := filepath.Join(root, "bin/fleet")
	if _, err := os.Stat(program); err != nil {
		b.Fatal("there is no bin/fleet: run make build")
	}
	home := b.TempDir()
	dir = filepath.Join(b.TempDir(), "fleet")
	env := append(os.Environ(), "HOME="+home, "USER=bench", "XDG_CONFIG_HOME=", "XDG_CACHE_HOME=", "XDG_STATE_HOME=")
	run = func(args ...string) time.Duration {
		b.Helper()
		cmd := exec.Command(program, args...)
		cmd.Env, cmd.Dir = env, home
		if _, err := os.Stat(dir); err == nil {
			cmd.Dir = dir
		}
		start := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("fleet %v: %v\n%s", args, err, out)
		}
		return time.Since(start)
	}
	run("init", "--template", "demo", dir)
	return run, dir
}

func median(rounds int, measure ...func() time.Duration) []time.Duration {
	all := make([][]time.Duration, len(measure))
	for range rounds {
		for i, m := range measure {
			all[i] = append(all[i], m())
		}
	}
	medians := make([]time.Duration, len(measure))
	for i := range all {
		slices.Sort(all[i])
		medians[i] = all[i][len(all[i])/2]
	}
	return medians
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// BenchmarkColdMetadata is everything that vars need of eight machines, against
// one bare `nix eval` of the same attributes.
func BenchmarkColdMetadata(b *testing.B) {
	run, dir := demoFleet(b)
	run("vars", "keys", "init")
	nixEval := func() time.Duration {
		cmd := exec.Command("nix", "eval", "--json", "--option", "eval-cache", "false", dir+"#fleet", "--apply",
			`f: { inherit (f) inventory; machines = builtins.mapAttrs (_: m: m.describe { adminSystem = "x86_64-linux"; toplevel = false; }) f.machines; }`)
		start := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("nix eval: %v\n%s", err, out)
		}
		return time.Since(start)
	}
	for b.Loop() {
		m := median(rounds, nixEval, func() time.Duration { return run("vars", "list", "--no-cache") })
		b.ReportMetric(milliseconds(m[0]), "nix-ms")
		b.ReportMetric(milliseconds(m[1]), "fleet-ms")
		b.ReportMetric(float64(m[1])/float64(m[0]), "ratio(≤1.3)")
	}
}

// BenchmarkWarmList is `fleet machines list` on an unchanged tree.
func BenchmarkWarmList(b *testing.B) {
	run, _ := demoFleet(b)
	run("machines", "list")
	for b.Loop() {
		m := median(rounds, func() time.Duration { return run("machines", "list") })
		b.ReportMetric(milliseconds(m[0]), "ms(≤50)")
	}
}

// BenchmarkVersion is the price of starting the program.
func BenchmarkVersion(b *testing.B) {
	run, _ := demoFleet(b)
	for b.Loop() {
		m := median(rounds, func() time.Duration { return run("version") })
		b.ReportMetric(milliseconds(m[0]), "ms(≤25)")
	}
}

// BenchmarkGenerate is `fleet vars generate` of ten machines with ten generators
// each, through the whole program: the first time, which evaluates them, the second
// time, which evaluates again because public values have come, and from then on.
func BenchmarkGenerate(b *testing.B) {
	run, dir := demoFleet(b)
	run("vars", "keys", "init")
	git := func(args ...string) {
		b.Helper()
		if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			b.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	round := 0
	first := func() time.Duration {
		// Scripts that were never built, for machines that have no values.
		round++
		text := strings.ReplaceAll(benchModule, "@ROUND@", fmt.Sprintf("%d-%d", time.Now().UnixNano(), round))
		if err := os.WriteFile(filepath.Join(dir, "modules/bench.nix"), []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
		git("rm", "-r", "--cached", "--quiet", "--ignore-unmatch", "sops/machines", "sops/keys")
		for _, name := range []string{"sops/machines", "sops/keys"} {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				b.Fatal(err)
			}
		}
		git("add", "modules")
		return run("vars", "generate", "bench*")
	}
	for b.Loop() {
		again := func() time.Duration { return run("vars", "generate", "bench*") }
		m := median(rounds, first, again, again)
		b.ReportMetric(m[0].Seconds(), "s-first(≤2)")
		b.ReportMetric(m[1].Seconds(), "s-second")
		b.ReportMetric(m[2].Seconds(), "s-nothing(≤0.15)")
	}
}

const benchModule = `
{ lib, ... }:
let
  names = map (n: "bench${toString n}") (lib.range 0 9);
in
{
  inventory.machines = lib.genAttrs names (_: { });
  flake.modules.nixos = lib.listToAttrs (
    map (name: {
      name = "hosts/${name}";
      value.nixpkgs.hostPlatform = "x86_64-linux";
      value.clan.core.vars.generators = lib.genAttrs (map (n: "g${toString n}") (lib.range 0 9)) (g: {
        files.secret = { };
        files.public.secret = false;
        script = ''
          echo ${g} @ROUND@ > $out/secret
          echo public > $out/public
        '';
      });
    }) names
  );
}
`
