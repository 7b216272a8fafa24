package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/testhost"
)

// A run whose driver was killed amid two activations, when one machine had gone
// back and one waited for its turn, is followed by its name and gone on with; what
// is said of it is at every time what is so.
func TestAttachRun(t *testing.T) {
	n := testhost.NewNetwork(t)
	hosts := testhost.Lights(t, n, testhost.Options{Name: "back"}, testhost.Options{Name: "one"}, testhost.Options{Name: "two"}, testhost.Options{Name: "waits"})
	d := newTiny(t, n, hosts)
	d.must(t, "vars", "keys", "init")
	d.must(t, "machines", "update", "--all")

	d.declare(t, map[string]variant{
		"back": {Version: "2", Activate: "echo 'no paper in tray 2' >&2; (exit 3)"},
		"one":  {Version: "2"}, "two": {Version: "2"}, "waits": {Version: "2"},
	})
	held := []*testhost.Host{d.hosts["one"], d.hosts["two"]}
	d.killAmid(t, held, "back: rolled back", "machines", "update", "--all", "--batch", "3,rest")

	run := d.wantRun(t, "cut off: 1 rolled back, 2 unknown, 1 interrupted")
	shown := d.must(t, "machines", "runs", run)
	for _, machine := range []string{"one", "two"} {
		shown.wantProblem(t, machine, "fleet machines attach "+run, "the machine goes on by itself")
	}
	attached := d.start(t, nil, "machines", "attach", run)
	for _, h := range held {
		until(t, h.Name+" is joined", func() bool {
			logs, _ := filepath.Glob(filepath.Join(d.home, ".local/state/fleet/runs", run+"*", h.Name+".log"))
			log, err := os.ReadFile(strings.Join(logs, "\n"))
			return err == nil && strings.Contains(string(log), "joins the activation of")
		})
	}
	d.wantRun(t, "under way: 1 rolled back, 2 running, 1 interrupted")
	for _, h := range held {
		release(t, h)
	}
	if code := attached.wait(t); code != 130 {
		t.Errorf("exit code %d, want 130:\n%s", code, attached)
	}
	attached.wantStates(t, map[string]string{"back": "rolled back", "one": "done", "two": "done", "waits": "not started"})
	attached.wantProblem(t, "back", "fleet machines update back", "no paper in tray 2")
	if !strings.Contains(attached.stderr(), "Go on with `fleet machines update --resume "+run) {
		t.Errorf("it is not said how to go on:\n%s", attached)
	}
	d.wantRun(t, "2 done, 1 rolled back, 1 interrupted")
	for _, name := range []string{"one", "two"} {
		wantVersion(t, d.hosts[name], attached.rows(t)[name].system, "2")
	}
	wantVersion(t, d.hosts["back"], "", "1")
	wantVersion(t, d.hosts["waits"], "", "1")

	resumed := d.expect(t, 4, "machines", "update", "--resume", run)
	resumed.wantStates(t, map[string]string{"back": "rolled back", "one": "done", "two": "done", "waits": "done"})
	wantVersion(t, d.hosts["waits"], resumed.rows(t)["waits"].system, "2")
	d.wantRun(t, "3 done, 1 rolled back")
	again := d.expect(t, 4, "machines", "attach", run)
	again.wantStates(t, map[string]string{"back": "rolled back", "one": "done", "two": "done", "waits": "done"})
	d.must(t, "machines", "attach", "waits").wantStates(t, map[string]string{"waits": "done"})
	wantNothingLeft(t, hosts...)
}

// killAmid starts the program, whose run comes to an activation on each of these
// hosts, which stays there, and kills it when it has said that, too.
func (d *demo) killAmid(t *testing.T, hosts []*testhost.Host, said string, args ...string) {
	t.Helper()
	for _, h := range hosts {
		hold(t, h)
	}
	p := d.start(t, nil, args...)
	for _, h := range hosts {
		held(t, h, p)
	}
	until(t, "it says "+said, func() bool { return strings.Contains(p.stderr(), said) })
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.done
	until(t, "what the driver started dies with it", func() bool { return len(d.leftovers()) == 0 })
	d.tidySockets(t)
}

// wantRun checks what is said of the last run, and gives its name.
func (d *demo) wantRun(t *testing.T, outcome string) (run string) {
	t.Helper()
	listed := d.start(t, nil, "machines", "runs")
	<-listed.done
	lines := strings.Split(listed.stdout(), "\n")
	if len(lines) < 2 || !strings.HasSuffix(strings.TrimSpace(lines[1]), " "+outcome) {
		t.Fatalf("the last run is not %q:\n%s", outcome, listed)
	}
	run, _, _ = strings.Cut(lines[1], " ")
	return run
}
