package deploy_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/ssh"
	"github.com/crs58/fleet/internal/testhost"
)

// The budgets of the design that concern deploys, on light hosts. Both sides of a
// ratio are measured in turn in one run, as medians.

const benchRounds = 5

// medians measures several things in turn.
func medians(measure ...func() time.Duration) []time.Duration {
	all := make([][]time.Duration, len(measure))
	for range benchRounds {
		for i, m := range measure {
			all[i] = append(all[i], m())
		}
	}
	out := make([]time.Duration, len(measure))
	for i, times := range all {
		slices.Sort(times)
		out[i] = times[len(times)/2]
	}
	return out
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// benchFleet is eight light hosts.
type benchFleet struct {
	b     *testing.B
	nix   *counted
	net   *testhost.Network
	hosts []*testhost.Host
	names []string
	// activation is how long an activation takes beside its work.
	activation string
	version    int
	dials      atomic.Int64
}

func newBenchFleet(b *testing.B) *benchFleet {
	f := &benchFleet{b: b, nix: newNix(b), net: testhost.NewNetwork(b), activation: "0"}
	var hosts []testhost.Options
	for i := range 8 {
		f.names = append(f.names, fmt.Sprintf("host%d", i))
		hosts = append(hosts, testhost.Options{Name: f.names[i]})
	}
	f.hosts = testhost.Lights(b, f.net, hosts...)
	return f
}

// next makes new systems for all hosts: nothing of them is built.
func (f *benchFleet) next() []deploy.Machine {
	f.b.Helper()
	f.version++
	systems := map[string]system{}
	for _, name := range f.names {
		systems[name] = system{version: fmt.Sprint(f.version), after: "sleep " + f.activation}
	}
	tops := flakeOf(f.b, f.nix, systems)
	var machines []deploy.Machine
	for _, name := range slices.Sorted(maps.Keys(tops)) {
		machines = append(machines, machine(name, flake.NixOS, "ssh://"+name, tops[name]))
	}
	return machines
}

// update deploys as a run of its own, and wants all machines to end so.
func (f *benchFleet) update(goal deploy.Goal, state deploy.State, machines ...deploy.Machine) time.Duration {
	f.b.Helper()
	o := options(f.nix, &recorder{})
	o.Goal = goal
	o.Dial = func(ctx context.Context, _ string, host ssh.Target) (*ssh.Conn, error) {
		f.dials.Add(1)
		return ssh.Dial(ctx, ssh.Config{Target: host, Env: os.Environ(), File: f.net.SSHConfig})
	}
	start := time.Now()
	d := deploy.New(o)
	summary := d.Update(f.b.Context(), machines)
	if err := d.Close(); err != nil {
		f.b.Fatal(err)
	}
	took := time.Since(start)
	if summary.Count(state) != len(machines) {
		f.b.Fatalf("%s: %v", summary.Text(), summary.Err())
	}
	return took
}

// BenchmarkUpdate brings eight hosts to new systems at once, beside the slowest
// of them alone. What waits is overlapped; work is shared by the cores here,
// which the hosts' own work is done on too: with activations that take no time
// the ratio says how many hosts a core is good for, no more.
func BenchmarkUpdate(b *testing.B) {
	for _, activation := range []string{"3", "0"} {
		b.Run("activation="+activation+"s", func(b *testing.B) {
			f := newBenchFleet(b)
			f.activation = activation
			f.update(deploy.Switch, deploy.Done, f.next()...) // what comes first is slower everywhere
			slowest := func() (slowest time.Duration) {
				for _, m := range f.next()[:3] {
					slowest = max(slowest, f.update(deploy.Switch, deploy.Done, m))
				}
				return slowest
			}
			for b.Loop() {
				m := medians(slowest, func() time.Duration { return f.update(deploy.Switch, deploy.Done, f.next()...) })
				name := "ratio"
				if activation != "0" {
					name = "ratio(≤1.3)"
				}
				b.ReportMetric(m[0].Seconds(), "s-slowest")
				b.ReportMetric(m[1].Seconds(), "s-eight")
				b.ReportMetric(float64(m[1])/float64(m[0]), name)
			}
		})
	}
}

// BenchmarkUnchanged is what an update costs that has nothing to do, and what it
// needs for that: connections and processes of Nix. For the processes of a
// connection see BenchmarkHost of package ssh.
func BenchmarkUnchanged(b *testing.B) {
	f := newBenchFleet(b)
	machines := f.next()
	f.dials.Store(0)
	f.update(deploy.Switch, deploy.Done, machines...)
	logins, processes := f.dials.Load(), f.nix.builds+f.nix.copys
	f.dials.Store(0)
	for b.Loop() {
		m := medians(
			func() time.Duration { return f.update(deploy.Switch, deploy.Unchanged, machines[0]) },
			func() time.Duration { return f.update(deploy.Switch, deploy.Unchanged, machines...) },
		)
		b.ReportMetric(milliseconds(m[0]), "ms-one")
		b.ReportMetric(milliseconds(m[1])/8, "ms/host")
	}
	b.ReportMetric(float64(logins)/8, "logins/changed-host")
	b.ReportMetric(float64(processes)/8, "nix/changed-host")
	b.ReportMetric(float64(f.dials.Load())/float64(9*benchRounds*b.N), "logins/host")
	b.ReportMetric(float64(f.nix.builds+f.nix.copys-processes)/8, "nix/host")
}

// BenchmarkRoundTrips counts how often an update waits for an answer of its host:
// that is how much longer it takes over a long link.
func BenchmarkRoundTrips(b *testing.B) {
	const far = 200 * time.Millisecond
	f := newBenchFleet(b)
	machines := f.next()[:1]
	f.update(deploy.Switch, deploy.Done, machines...)
	at := func(latency time.Duration, update func() time.Duration) func() time.Duration {
		return func() time.Duration {
			if err := f.hosts[0].Latency(latency, 0); err != nil {
				b.Fatal(err)
			}
			return update()
		}
	}
	unchanged := func() time.Duration { return f.update(deploy.Switch, deploy.Unchanged, machines...) }
	changed := func() time.Duration {
		machines = f.next()[:1]
		return f.update(deploy.Switch, deploy.Done, machines...)
	}
	for b.Loop() {
		m := medians(at(0, unchanged), at(far, unchanged), at(0, changed), at(far, changed))
		b.ReportMetric(float64(m[1]-m[0])/float64(far), "trips-unchanged")
		b.ReportMetric(float64(m[3]-m[2])/float64(far), "trips-changed")
	}
}

// BenchmarkCopy brings a closure of 200 small paths onto a host, beside `nix copy`
// over OpenSSH, which does not look at the machine before.
func BenchmarkCopy(b *testing.B) {
	for _, latency := range []time.Duration{0, 50 * time.Millisecond} {
		b.Run("latency="+latency.String(), func(b *testing.B) { benchmarkCopy(b, latency) })
	}
}

func benchmarkCopy(b *testing.B, latency time.Duration) {
	f := newBenchFleet(b)
	if err := f.hosts[0].Latency(latency, 0); err != nil {
		b.Fatal(err)
	}
	top := closureOf(b, f.nix, 200)
	if _, err := f.nix.Build(b.Context(), nix.BuildRequest{Installables: []string{top.DrvPath + "^*"}}); err != nil {
		b.Fatal(err)
	}
	repo, err := filepath.Abs("../..")
	if err != nil {
		b.Fatal(err)
	}
	run := func(program string, args ...string) time.Duration {
		b.Helper()
		cmd := exec.CommandContext(b.Context(), program, args...)
		cmd.Env = append(os.Environ(), "NIX_CONF_DIR="+filepath.Join(repo, ".ci/nix"), "NIX_SSHOPTS=-F "+f.net.SSHConfig)
		start := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%s %v: %v\n%s", program, args, err, out)
		}
		return time.Since(start)
	}
	empty := func(host string) {
		run("ssh", "-F", f.net.SSHConfig, host, "nix --extra-experimental-features nix-command store gc && ! test -e "+top.OutPath)
	}
	nixCopy := func() time.Duration {
		empty("host0")
		return run(filepath.Join(repo, ".cache/bin/nix"), "copy", "--no-check-sigs", "--to", "ssh-ng://host0", top.OutPath)
	}
	fleet := func() time.Duration {
		empty("host0")
		return f.update(deploy.Push, deploy.Done, machine("host0", flake.NixOS, "ssh://host0", top))
	}
	for b.Loop() {
		m := medians(nixCopy, fleet)
		b.ReportMetric(milliseconds(m[0]), "nix-copy-ms")
		b.ReportMetric(milliseconds(m[1]), "fleet-ms")
		b.ReportMetric(float64(m[1])/float64(m[0]), "ratio")
	}
}

// closureOf makes a path that needs others: so many in all, which no store has.
func closureOf(t testing.TB, x nix.Executor, paths int) flake.Derivation {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf(`{ outputs = _: { closure =
  let
    make = name: script: deps: derivation {
      inherit name deps; system = "%s"; builder = "/bin/busybox"; args = [ "sh" "-c" script ];
    };
    small = i: make "small-${toString i}" "echo %s ${toString i} > $out" [ ];
  in
  make "closure" "echo $deps > $out" (builtins.genList small %d);
}; }
`, nixSystem(), dir, paths-1)
	if err := os.WriteFile(filepath.Join(dir, "flake.nix"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	var pair [2]string
	err := x.Eval(t.Context(), nix.EvalRequest{Installable: "path:" + dir + "#closure", Apply: "d: [ d.drvPath d.outPath ]"}, &pair)
	if err != nil {
		t.Fatal(err)
	}
	return flake.Derivation{DrvPath: pair[0], OutPath: pair[1]}
}
