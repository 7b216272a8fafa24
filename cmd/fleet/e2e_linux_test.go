package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/testhost"
)

var servers = []string{"cinnabar", "electrum", "galena", "scheelite"}

// TestEndToEnd deploys the servers of the demo fleet over SSH with the program
// itself: cinnabar and electrum are light hosts, galena and scheelite full ones.
// The parts follow one another, as they would in a fleet's life.
func TestEndToEnd(t *testing.T) {
	began := time.Now()
	n := testhost.NewNetwork(t)
	var light, full []*testhost.Host
	var wg sync.WaitGroup
	wg.Go(func() {
		full = testhost.Fulls(t, n, testhost.Options{Name: "full1"}, testhost.Options{Name: "full2"})
	})
	wg.Go(func() {
		light = testhost.Lights(t, n, testhost.Options{Name: "light1"}, testhost.Options{Name: "light2", DiskMB: 400},
			testhost.Options{Name: "nobuild"}, testhost.Options{Name: "stranger"}, testhost.Options{Name: "impostor"})
	})
	wg.Wait()
	if t.Failed() {
		return
	}
	d := newDemo(t, n, map[string]*testhost.Host{"cinnabar": light[0], "electrum": light[1], "galena": full[0], "scheelite": full[1]})
	t.Logf("the hosts and the fleet are there after %s", time.Since(began))

	for _, part := range []struct {
		name string
		do   func(t *testing.T)
	}{
		{"values", d.testValues},
		{"first update", d.testFirstUpdate},
		{"second update", d.testSecondUpdate},
		{"changed secret", d.testChangedSecret},
		{"host key of the fleet", d.testHostKey},
		{"broken machines", func(t *testing.T) { d.testBroken(t, light[2], light[3], light[4]) }},
		{"full disk", d.testFullDisk},
		{"failed activation and unit", d.testFailedActivation},
		{"connection lost", d.testConnectionLost},
		{"interrupted", d.testInterrupted},
		{"interrupted twice", d.testInterruptedTwice},
		{"killed", d.testKilled},
		{"cuts itself off", d.testCutsItself},
		{"no plaintext", func(t *testing.T) { d.testNoPlaintext(t, began) }},
	} {
		at := time.Now()
		if !t.Run(part.name, part.do) {
			return // what follows would only fail too
		}
		t.Logf("%s: %s", part.name, time.Since(at).Round(10*time.Millisecond))
	}
}

// testValues makes the administrator's key and the fleet's values; a phrase of
// each machine comes from a file in memory, one from the environment.
func (d *demo) testValues(t *testing.T) {
	d.must(t, "vars", "keys", "init")
	phrase := func(machine string) string { return "the phrase of " + machine + " is " + d.token }
	answers, err := os.CreateTemp("/dev/shm", "fleet-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(answers.Name())
	for _, machine := range servers[:3] {
		fmt.Fprintf(answers, "%s: { e2e: { phrase: %q } }\n", machine, phrase(machine))
	}
	if err := answers.Close(); err != nil {
		t.Fatal(err)
	}
	d.watcher = d.watch()
	p := d.start(t, []string{"FLEET_PROMPT_SCHEELITE_E2E_PHRASE=" + phrase("scheelite")}, "vars", "generate", "--answers", answers.Name(), "cinnabar", "electrum", "galena", "scheelite")
	if code := p.wait(t); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, p)
	}
	d.watcher.end()
	d.getSecrets(t)
	for _, machine := range servers {
		if got := string(d.secrets[machine+"/e2e/phrase"]); got != phrase(machine) {
			t.Errorf("the phrase of %s is %q", machine, got)
		}
	}
}

// getSecrets reads all secrets as an administrator.
func (d *demo) getSecrets(t *testing.T) {
	t.Helper()
	d.secrets = map[string][]byte{}
	values := []string{"root-password/password", "ssh-ca/ca"}
	for _, s := range secretFiles {
		values = append(values, s.value)
	}
	for _, machine := range servers {
		for _, value := range values {
			// Not through start: its output is a secret, and is to be searched for.
			cmd := exec.Command(d.program, "vars", "get", machine, value)
			cmd.Dir, cmd.Env = d.dir, append(d.env, "HOME="+d.home)
			out, err := cmd.Output()
			if err != nil || len(out) < 20 {
				t.Fatalf("fleet vars get %s %s: %d bytes, %v", machine, value, len(out), err)
			}
			d.secrets[machine+"/"+value] = out
		}
	}
}

var update = append([]string{"machines", "update"}, servers...)

func (d *demo) testFirstUpdate(t *testing.T) {
	if got := d.statuses(t, 0); got["galena"].Verdict != deploy.NeverDeployed || got["cinnabar"].Key != deploy.KeyMissing {
		t.Errorf("before the first update galena is %q and the key of cinnabar %q", got["galena"].Verdict, got["cinnabar"].Key)
	}
	w := d.watch()
	p := d.must(t, update...)
	w.end()
	for line := range w.seen {
		d.watcher.seen[line] = true
	}
	p.wantStates(t, map[string]string{"cinnabar": "done", "electrum": "done", "galena": "done", "scheelite": "done"})
	if p.lastLine() != "4 done" {
		t.Errorf("the last line is not the sum:\n%s", p.stderr())
	}
	rows := p.rows(t)
	for _, machine := range servers {
		h := d.hosts[machine]
		d.wantMachine(t, machine)
		d.wantSecrets(t, machine)
		wantVersion(t, h, rows[machine].system, "1")
		if got := stand(t, h).generation; got != "system-1-link" {
			t.Errorf("%s is at generation %s", machine, got)
		}
		if rows[machine].target != address(h) {
			t.Errorf("%s is said to be at %s", machine, rows[machine].target)
		}
	}
}

func (d *demo) testSecondUpdate(t *testing.T) {
	before := map[string]string{}
	for _, machine := range servers {
		before[machine] = snapshot(t, d.hosts[machine])
	}
	var result *deploy.Summary
	for line := range strings.Lines(d.must(t, append(update, "--json")...).stdout()) {
		var said struct {
			Event  *deploy.Event
			Result *deploy.Summary
		}
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if e := said.Event; e != nil && e.Phase != deploy.Evaluate && e.Phase != deploy.Reach && e.Phase != deploy.End {
			t.Errorf("there was nothing to do, and yet: %s", line)
		}
		result = said.Result
	}
	if result == nil || result.Count(deploy.Unchanged) != len(servers) {
		t.Errorf("the result is %+v", result)
	}
	for name, s := range d.statuses(t, 0) {
		if !s.Good() || s.Verdict != deploy.UpToDate || s.Key != deploy.KeyInPlace || s.Found.Generation != 1 {
			t.Errorf("the status of %s: %+v", name, s)
		}
	}
	check := d.must(t, append([]string{"vars", "check", "--remote"}, servers...)...)
	for _, machine := range servers {
		if want := machine + ": Keys match - decryption should work\n"; !strings.Contains(check.stderr(), want) {
			t.Errorf("fleet vars check --remote does not say %q:\n%s", want, check)
		}
		if after := snapshot(t, d.hosts[machine]); after != before[machine] {
			t.Errorf("the second update changed %s:\nbefore:\n%s\nafter:\n%s", machine, before[machine], after)
		}
	}
}

// statuses asks for the status of all servers and of more machines.
func (d *demo) statuses(t *testing.T, code int, more ...string) map[string]deploy.Status {
	t.Helper()
	p := d.expect(t, code, slices.Concat([]string{"machines", "status", "--json"}, servers, more)...)
	var list []deploy.Status
	if err := json.Unmarshal([]byte(p.stdout()), &list); err != nil {
		t.Fatalf("%v:\n%s", err, p)
	}
	all := map[string]deploy.Status{}
	for _, s := range list {
		all[s.Machine] = s
	}
	return all
}

// testChangedSecret makes the token of one machine anew: there and only there
// the service that reads it is restarted.
func (d *demo) testChangedSecret(t *testing.T) {
	show := func(machine string) string {
		return on(t, d.hosts[machine], "systemctl", "show", "--property=MainPID,InvocationID,ActiveState", "metrics.service")
	}
	galena, scheelite := show("galena"), show("scheelite")
	old := string(d.secrets["galena/metrics/token"])
	d.must(t, "vars", "generate", "galena", "--regenerate", "metrics")
	d.getSecrets(t)
	if string(d.secrets["galena/metrics/token"]) == old {
		t.Fatal("the token was not made anew")
	}
	d.secrets["galena/metrics/token of old"] = []byte(old) // is to be searched for still
	p := d.must(t, update...)
	p.wantStates(t, map[string]string{"cinnabar": "unchanged", "electrum": "unchanged", "galena": "done", "scheelite": "unchanged"})
	d.wantSecrets(t, "galena")
	if now := show("galena"); now == galena || !strings.Contains(now, "ActiveState=active") {
		t.Errorf("metrics.service of galena was not restarted:\n%s\n%s", galena, now)
	}
	if now := show("scheelite"); now != scheelite {
		t.Errorf("metrics.service of scheelite was touched:\n%s\n%s", scheelite, now)
	}
}

// testBroken adds machines that cannot be deployed, each for a reason of its
// own: the four that can are.
func (d *demo) testBroken(t *testing.T, nobuild, stranger, impostor *testhost.Host) {
	d.know(t, nobuild.IP.String(), nobuild.HostKey)
	d.know(t, impostor.IP.String(), stranger.HostKey)
	known := d.read(t, "../home/.ssh/known_hosts")
	refusing := fmt.Sprintf("ssh://root@%s:1", d.net.Addr)
	d.write(t, "modules/broken.nix", strings.NewReplacer(
		"@noeval@", address(nobuild), "@nobuild@", address(nobuild), "@refusing@", refusing,
		"@stranger@", address(stranger), "@impostor@", address(impostor)).Replace(testdata(t, "broken.nix")))
	defer d.remove(t, "modules/broken.nix")
	change := map[string]variant{}
	for _, machine := range servers {
		change[machine] = variant{Version: "2"}
	}
	d.declare(t, change)

	broken := []string{"noeval", "nobuild", "refusing", "stranger", "impostor"}
	p := d.expect(t, 3, slices.Concat(update, broken)...)
	p.wantStates(t, map[string]string{
		"cinnabar": "done", "electrum": "done", "galena": "done", "scheelite": "done",
		"noeval": "failed", "nobuild": "failed", "refusing": "failed", "stranger": "failed", "impostor": "failed",
	})
	if p.lastLine() != "4 done, 5 failed" {
		t.Errorf("the last line is not the sum:\n%s", p.stderr())
	}
	p.wantProblem(t, "noeval", "fleet machines build noeval", "the machine has no colour", "modules/broken.nix:")
	p.wantProblem(t, "nobuild", "fleet machines build nobuild", "the compiler gave up")
	p.wantProblem(t, "refusing", fmt.Sprintf("ssh -p 1 root@%s true", d.net.Addr), "connection refused", "is sshd running there, on that port?")
	p.wantProblem(t, "stranger", "", "host key is not known", "if `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on its console shows the same fingerprint: echo", ">>'/root/.ssh/known_hosts'")
	p.wantProblem(t, "impostor", "", "host key has changed", "somebody may be in between", "/root/.ssh/known_hosts:", "ssh-keygen -R")
	for name, s := range d.statuses(t, 3, broken...) {
		want := map[string]deploy.Verdict{"noeval": deploy.NeverDeployed, "nobuild": deploy.NeverDeployed, "refusing": deploy.Unreachable, "stranger": deploy.Unreachable, "impostor": deploy.Unreachable}[name]
		if s.Verdict != cmp.Or(want, deploy.UpToDate) || (s.Error == "") != (want != deploy.Unreachable && name != "noeval") {
			t.Errorf("the status of %s: %+v", name, s)
		}
	}
	if now := d.read(t, "../home/.ssh/known_hosts"); now != known {
		t.Errorf("known_hosts was written to:\n%s", now)
	}
	for _, machine := range servers {
		wantVersion(t, d.hosts[machine], p.rows(t)[machine].system, "2")
	}
	for _, h := range []*testhost.Host{nobuild, stranger, impostor} {
		if found := on(t, h, "sh", "-c", "ls -A /nix/store /run/fleet /nix/var/nix/profiles/system /var/lib/sops-nix 2>/dev/null || :"); strings.Contains(found, "nixos-system") || strings.Contains(found, "key.txt") {
			t.Errorf("%s was changed: %s", h.Name, found)
		}
	}
}

func (d *demo) testFullDisk(t *testing.T) {
	h := d.hosts["electrum"]
	before := stand(t, h)
	if err := h.FillDisk("/nix"); err != nil {
		t.Fatal(err)
	}
	d.declare(t, map[string]variant{"electrum": {Version: "3", Payload: 8}})
	p := d.expect(t, 1, "machines", "update", "electrum")
	p.wantStates(t, map[string]string{"electrum": "failed"})
	p.wantProblem(t, "electrum", fmt.Sprintf("ssh root@%s nix-collect-garbage", h.IP), "/nix/store on "+address(h)+" is full", "0 B of")
	if now := stand(t, h); now != before {
		t.Errorf("electrum was %+v and is %+v", before, now)
	}
	wantVersion(t, h, "", "2")
	if err := h.FreeDisk("/nix"); err != nil {
		t.Fatal(err)
	}
	p = d.must(t, "machines", "update", "electrum")
	wantVersion(t, h, p.rows(t)["electrum"].system, "3")
}

func (d *demo) testFailedActivation(t *testing.T) {
	galena, scheelite := d.hosts["galena"], d.hosts["scheelite"]
	d.declare(t, map[string]variant{
		"galena":    {Version: "4", Activate: "echo 'no paper in tray 2' >&2; (exit 3)"},
		"scheelite": {Version: "4", Service: "echo 'no ink either'; exit 7"},
	})
	var diffs []deploy.Diff
	if err := json.Unmarshal([]byte(d.must(t, "machines", "diff", "galena", "scheelite", "--json").stdout()), &diffs); err != nil {
		t.Fatal(err)
	}
	if u := diffs[0].Units; u == nil || len(slices.Concat(u.Stop, u.Restart, u.Reload, u.Start, u.Keep)) > 0 {
		t.Errorf("units of galena are said to change: %+v", u)
	}
	if u := diffs[1].Units; u == nil || !slices.Equal(u.Start, []string{"e2e.service"}) || len(slices.Concat(u.Stop, u.Restart, u.Reload, u.Keep)) > 0 {
		t.Errorf("scheelite is said to change %+v", u)
	}
	p := d.expect(t, 4, update...)
	p.wantStates(t, map[string]string{"cinnabar": "unchanged", "electrum": "unchanged", "galena": "rolled back", "scheelite": "rolled back"})
	p.wantProblem(t, "galena", fmt.Sprintf("ssh root@%s journalctl -u fleet-activate-", galena.IP), "the activation script failed (exit status 2)", "no paper in tray 2", "the machine is back on generation 3")
	p.wantProblem(t, "scheelite", fmt.Sprintf("ssh root@%s journalctl -b -u e2e.service", scheelite.IP), "units failed: e2e.service")
	wantVersion(t, galena, "", "2")
	wantVersion(t, scheelite, "", "2")
	if log := on(t, scheelite, "journalctl", "--quiet", "--no-pager", "--output=cat", "--unit=e2e.service"); !strings.Contains(log, "no ink either") {
		t.Errorf("the journal of the failed unit says:\n%s", log)
	}
	for name, s := range d.statuses(t, 0) {
		if wrong := name == "galena" || name == "scheelite"; s.Good() == wrong {
			t.Errorf("the status of %s: %+v", name, s)
		}
	}
	// A second try that changes nothing fails again, and is not called unchanged.
	p = d.expect(t, 4, "machines", "update", "galena")
	p.wantStates(t, map[string]string{"galena": "rolled back"})

	d.declare(t, map[string]variant{"galena": {Version: "5"}, "scheelite": {Version: "5"}})
	p = d.must(t, update...)
	wantVersion(t, galena, p.rows(t)["galena"].system, "5")
	wantVersion(t, scheelite, p.rows(t)["scheelite"].system, "5")
}

// testConnectionLost kills sshd of one machine and cuts the power of another in
// the middle of their activations.
func (d *demo) testConnectionLost(t *testing.T) {
	galena, scheelite := d.hosts["galena"], d.hosts["scheelite"]
	d.declare(t, map[string]variant{"galena": {Version: "6"}, "scheelite": {Version: "6"}})
	hold(t, galena)
	hold(t, scheelite)
	p := d.start(t, nil, update...)
	held(t, galena, p)
	held(t, scheelite, p)
	if err := galena.KillSSHD(); err != nil {
		t.Fatal(err)
	}
	scheelite.Kill()
	release(t, galena)
	until(t, "galena completes its activation by itself", func() bool {
		s := stand(t, galena)
		return s.activating != "" && exists(galena, "/var/lib/fleet/"+s.activating+"/code")
	})
	if err := galena.StartSSHD(); err != nil {
		t.Fatal(err)
	}
	if err := scheelite.Start(); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(t); code != 4 {
		t.Fatalf("exit code %d, want 4:\n%s", code, p)
	}
	p.wantStates(t, map[string]string{"cinnabar": "unchanged", "electrum": "unchanged", "galena": "done", "scheelite": "rolled back"})
	p.wantProblem(t, "scheelite", fmt.Sprintf("ssh root@%s journalctl -u fleet-activate-", scheelite.IP), "the machine was restarted before its new system was confirmed")
	wantVersion(t, galena, p.rows(t)["galena"].system, "6")
	on(t, scheelite, "systemctl", "is-system-running", "--wait")
	wantVersion(t, scheelite, "", "5")
	d.wantMachine(t, "scheelite")
	d.wantSecrets(t, "scheelite")
	d.must(t, update...).wantStates(t, map[string]string{"cinnabar": "unchanged", "electrum": "unchanged", "galena": "unchanged", "scheelite": "done"})
}

// testInterrupted presses Ctrl-C while one machine is activating, one is being
// copied to and one being built for.
func (d *demo) testInterrupted(t *testing.T) {
	electrum, galena, scheelite := d.hosts["electrum"], d.hosts["galena"], d.hosts["scheelite"]
	building := filepath.Join(t.TempDir(), "building")
	d.declare(t, map[string]variant{
		"electrum":  {Version: d.token, Build: "echo here > " + building + "; sleep 600"},
		"galena":    {Version: "7"},
		"scheelite": {Version: "7", Payload: 16},
	})
	hold(t, galena)
	stall(t, scheelite)
	old := map[string]standing{"electrum": stand(t, electrum), "scheelite": stand(t, scheelite)}
	p := d.start(t, nil, update...)
	held(t, galena, p)
	until(t, "electrum is being built and scheelite copied to", func() bool {
		_, err := os.Stat(building)
		return err == nil && exists(scheelite, "/run/e2e-stalled")
	})
	p.interrupt(t)
	until(t, "the build and the copy end while the activation goes on", func() bool {
		return strings.Contains(p.stderr(), "electrum: interrupted") && strings.Contains(p.stderr(), "scheelite: interrupted")
	})
	select {
	case <-p.done:
		t.Errorf("fleet did not wait for the activation under way")
	default:
	}
	release(t, galena)
	if code := p.wait(t); code != 130 {
		t.Fatalf("exit code %d, want 130:\n%s", code, p)
	}
	p.wantStates(t, map[string]string{"cinnabar": "unchanged", "electrum": "interrupted", "galena": "done", "scheelite": "interrupted"})
	p.wantProblem(t, "electrum", "", "the machine is as it was")
	p.wantProblem(t, "scheelite", "", "interrupted while copying", "the machine runs what it ran")
	wantVersion(t, galena, p.rows(t)["galena"].system, "7")
	for name, before := range old {
		if now := stand(t, d.hosts[name]); now != before {
			t.Errorf("%s was %+v and is %+v", name, before, now)
		}
	}
	wantVersion(t, electrum, "", "3")
	wantVersion(t, scheelite, "", "6")
	on(t, scheelite, "nix-store", "--verify", "--check-contents")

	on(t, scheelite, "rm", "-f", "/run/e2e-stall")
	d.declare(t, map[string]variant{"electrum": {Version: "7"}})
	p = d.must(t, update...)
	p.wantStates(t, map[string]string{"cinnabar": "unchanged", "electrum": "done", "galena": "unchanged", "scheelite": "done"})
	wantVersion(t, scheelite, p.rows(t)["scheelite"].system, "7")
}

// testInterruptedTwice does not even wait for an activation, which goes on and,
// unconfirmed, back: on a machine with systemd and on one without.
func (d *demo) testInterruptedTwice(t *testing.T) {
	d.declare(t, map[string]variant{"cinnabar": {Version: "8"}, "galena": {Version: "8"}})
	hosts := []*testhost.Host{d.hosts["cinnabar"], d.hosts["galena"]}
	for _, h := range hosts {
		hold(t, h)
	}
	p := d.start(t, nil, append(update, "--confirm-timeout", "1s")...)
	for _, h := range hosts {
		held(t, h, p)
	}
	p.interrupt(t)
	until(t, "fleet says that it is stopping", func() bool { return strings.Contains(p.stderr(), "press Ctrl-C again") })
	p.interrupt(t)
	<-p.done
	if code := p.cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d, want 130:\n%s", code, p)
	}
	p.wantNoProcess(t)
	d.tidySockets(t) // who leaves at once does not
	for name, s := range d.statuses(t, 0) {
		if under := name == "cinnabar" || name == "galena"; under != (s.Found.Deploy != nil && s.Found.Deploy.Live) || under == s.Good() {
			t.Errorf("the status of %s amid its activation: %+v", name, s)
		}
	}
	for _, h := range hosts {
		release(t, h)
		until(t, h.Name+" goes back by itself", func() bool {
			s := stand(t, h)
			return s.activating == "" && s.current == s.profile
		})
	}
	wantVersion(t, hosts[0], "", "2")
	wantVersion(t, hosts[1], "", "7")
	d.must(t, update...).wantStates(t, map[string]string{"cinnabar": "done", "electrum": "unchanged", "galena": "done", "scheelite": "unchanged"})
}

// testKilled kills the driver while two machines activate: one is joined by its
// name, the whole run is gone on with.
func (d *demo) testKilled(t *testing.T) {
	cinnabar, galena := d.hosts["cinnabar"], d.hosts["galena"]
	d.declare(t, map[string]variant{"cinnabar": {Version: "9"}, "galena": {Version: "9"}})
	d.killAmid(t, []*testhost.Host{cinnabar, galena}, "", append(update, "--json")...)

	refused := d.expect(t, 1, "machines", "update", "galena")
	refused.wantProblem(t, "galena", "fleet machines attach galena", "is under way, begun by root@")
	release(t, galena)
	joined := d.must(t, "machines", "attach", "galena")
	joined.wantStates(t, map[string]string{"galena": "done"})
	wantVersion(t, galena, joined.rows(t)["galena"].system, "9")

	release(t, cinnabar)
	runs, err := os.ReadDir(filepath.Join(d.home, ".local/state/fleet/runs"))
	if err != nil || len(runs) < 2 {
		t.Fatalf("%d runs are recorded: %v", len(runs), err)
	}
	// The last run is the one that was refused.
	resumed := d.must(t, "machines", "update", "--resume", runs[len(runs)-2].Name())
	resumed.wantStates(t, map[string]string{"cinnabar": "done", "electrum": "unchanged", "galena": "done", "scheelite": "unchanged"})
	wantVersion(t, cinnabar, resumed.rows(t)["cinnabar"].system, "9")
	d.must(t, update...).wantStates(t, map[string]string{"cinnabar": "unchanged", "electrum": "unchanged", "galena": "unchanged", "scheelite": "unchanged"})
}

// testCutsItself deploys a configuration that takes the machine off the network.
func (d *demo) testCutsItself(t *testing.T) {
	scheelite := d.hosts["scheelite"]
	before := stand(t, scheelite)
	// What runs now brings the network up when it is activated.
	d.declare(t, map[string]variant{"scheelite": {Version: "10", Activate: "/bin/ip link set eth0 up"}})
	d.must(t, "machines", "update", "scheelite")
	d.declare(t, map[string]variant{"scheelite": {Version: "11", Activate: "/bin/ip link set eth0 down"}})
	p := d.expect(t, 4, "machines", "update", "scheelite", "--confirm-timeout", "3s")
	p.wantStates(t, map[string]string{"scheelite": "rolled back"})
	p.wantProblem(t, "scheelite", "journalctl -u fleet-activate-", "the new system was not confirmed within 3s", "the machine is back on generation ")
	wantVersion(t, scheelite, "", "10")
	if now := stand(t, scheelite); now.generation == before.generation {
		t.Errorf("scheelite is at generation %s, as before the good update", now.generation)
	}
}

// tidySockets removes what a driver leaves that had no time to tidy up: the
// sockets of its tunnels, which nobody listens on.
func (d *demo) tidySockets(t *testing.T) {
	t.Helper()
	sockets, _ := filepath.Glob(filepath.Join(d.tmp, "fleet-*"))
	for _, dir := range sockets {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}
}

// testNoPlaintext searches everything that the parts before have left.
func (d *demo) testNoPlaintext(t *testing.T, began time.Time) {
	needles := d.needles()
	if len(needles) < 20 || len(d.watcher.seen) < 50 || d.said.Len() < 1000 {
		t.Fatalf("%d secrets, %d processes, %d bytes of output are too few", len(needles), len(d.watcher.seen), d.said.Len())
	}
	for _, name := range find(needles, d.said.Bytes()) {
		t.Errorf("the program printed %s", name)
	}
	for line := range d.watcher.seen {
		for _, name := range find(needles, []byte(line)) {
			t.Errorf("everybody could see %s: %s", name, line)
		}
	}
	files := search(t, needles, d.dir) + search(t, needles, d.home)
	stored := searchStore(t, needles, began)
	if files < 100 || stored < 50 {
		t.Errorf("%d files of the fleet and %d of the store are too few to search", files, stored)
	}
	for _, machine := range servers {
		searchHost(t, needles, d.hosts[machine])
	}
}
