package deploy_test

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/testhost"
)

// asNixOS has a host with a first system boot what its boot loader names, and puts
// its units into the store, as NixOS does: there is no place for another among them.
const asNixOS = `set -e
cat > /etc/systemd/system/boots.service <<'UNIT'
[Unit]
Before=ssh.service multi-user.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'ln -sfn "$(cat /boot/default)" /run/booted-system; exec "$(cat /boot/default)/bin/switch-to-configuration" test'
[Install]
WantedBy=multi-user.target
UNIT
mkdir /etc/systemd/system/fleet-recover-once.service.d
printf '[Unit]\nAfter=boots.service\n' > /etc/systemd/system/fleet-recover-once.service.d/boots.conf
systemctl --quiet enable --now boots.service
units=$(nix-store --add /etc/systemd/system)
rm -r /etc/systemd/system
mkdir -p /etc/static/systemd
ln -s "$units" /etc/static/systemd/system
ln -s /etc/static/systemd/system /etc/systemd/system
`

// wantOwnUnits checks that the units of a host like NixOS are as they were.
func wantOwnUnits(t *testing.T, h *testhost.Host) {
	t.Helper()
	on(t, h, "sh", "-c", `nix-store --verify-path "$(readlink -f /etc/systemd/system)"`)
}

// waitAtRest waits until a full host has brought its deploy to an end by itself.
func waitAtRest(t *testing.T, h *testhost.Host) {
	t.Helper()
	wait(t, func() bool {
		return !hostFile(h, "/var/lib/fleet/current") && on(t, h, "systemctl", "list-units", "--all", "--plain", "--no-legend", "fleet-*") == ""
	})
}

// starts is what the activation of a NixOS system has systemd do.
const starts = "/usr/bin/systemctl daemon-reload; /usr/bin/systemctl start --no-block multi-user.target"

// A machine that is to be restarted into its system is confirmed afterwards, or
// restarts back.
func TestReboot(t *testing.T) {
	const (
		readOnly = "mount --bind /etc/systemd /etc/systemd && mount -o remount,bind,ro /etc/systemd"
		recovers = `printf '[Unit]\nAfter=boots.service\n[Service]\nType=oneshot\nExecStart=/bin/sh /var/lib/fleet/launch\n[Install]\nWantedBy=multi-user.target\n' > /etc/systemd/system/recovers.service
systemctl --quiet enable recovers.service
`
		declares = "$b mkdir -p $out/etc/systemd/system; echo > $out/etc/systemd/system/fleet-recover.service"
	)
	// A system's kernel is a link to what other systems may have too.
	kernel := func(file string) string { return "$b mkdir -p $out; $b ln -s " + file + " $out/kernel" }
	inhibitors := func(version string) string {
		return "$b mkdir -p $out; printf '{\n\"dbus\": \"" + version + "\"}\n' > $out/switch-inhibitors"
	}
	hosts := []struct {
		name          string
		first, second system
		prepare       string      // shell lines on the host between the two
		earlier       deploy.Goal // the host came to the second system before, without a restart
		goal          deploy.Goal
		state         deploy.State
		texts         []string
		boots         int
		stays         bool
	}{
		{name: "good", second: system{before: starts}, goal: deploy.Boot, state: deploy.Done, boots: 2, stays: true},
		{
			name: "loses-network", first: system{before: linkUp}, second: system{before: linkDown}, goal: deploy.Boot,
			state: deploy.RolledBack, texts: []string{"not confirmed within 8s", "back on generation 1"}, boots: 3,
		},
		{
			name: "unit-fails", second: system{after: "/usr/bin/systemd-run --quiet --unit=new /bin/false"}, goal: deploy.Boot,
			state: deploy.RolledBack, texts: []string{"units failed: new.service", "back on generation 1"}, boots: 3,
		},
		{name: "new-kernel", first: system{build: kernel("/etc/hostname")}, second: system{build: kernel("/etc/hosts")}, goal: deploy.Switch, state: deploy.Done, boots: 2, stays: true},
		{name: "same-kernel", first: system{build: kernel("/etc/hostname") + "; " + inhibitors("1")}, second: system{build: kernel("/etc/hostname") + "; " + inhibitors("1")}, goal: deploy.Switch, state: deploy.Done, boots: 1, stays: true},
		{name: "inhibited", first: system{build: inhibitors("1")}, second: system{build: inhibitors("2")}, goal: deploy.Switch, state: deploy.Done, boots: 2, stays: true},
		{
			name: "stays-up", prepare: asNixOS + "systemctl --quiet --runtime mask reboot.target", goal: deploy.Boot,
			state: deploy.RolledBack, texts: []string{"the machine could not be restarted: ", "back on generation 1"}, boots: 1,
		},
		{
			name: "declares", first: system{build: declares}, second: system{build: declares},
			prepare: recovers + asNixOS + readOnly, goal: deploy.Boot, state: deploy.Done, boots: 2, stays: true,
		},
		{
			name: "declares-later", second: system{build: declares}, prepare: asNixOS + readOnly, goal: deploy.Boot,
			state: deploy.Failed, texts: []string{"could not be taken back: /etc/systemd/system.control is read-only"}, boots: 1,
		},
		{
			name: "in-memory", prepare: asNixOS + "mount -t tmpfs fleet-test /var/lib/fleet", goal: deploy.Boot,
			state: deploy.Failed, texts: []string{"could not be taken back: /var/lib/fleet is in memory; use --goal boot"}, boots: 1,
		},
		{
			name: "staged", first: system{before: linkUp}, second: system{before: linkDown}, earlier: deploy.Boot, goal: deploy.Boot,
			state: deploy.RolledBack, texts: []string{"not confirmed within 8s", "back on generation 1"}, boots: 3,
		},
		{
			name: "switched", first: system{build: kernel("/etc/hostname"), before: linkUp},
			second:  system{build: kernel("/etc/hosts"), before: `[ "$(readlink /run/booted-system)" != @out@ ] || ` + linkDown},
			earlier: deploy.Switch, goal: deploy.Switch,
			state: deploy.RolledBack, texts: []string{"not confirmed within 8s", "back on generation 1"}, boots: 3,
		},
	}
	n := testhost.NewNetwork(t)
	var options []testhost.Options
	systems := map[string]system{}
	for _, h := range hosts {
		options = append(options, testhost.Options{Name: h.name})
		h.first.version, h.second.version = "1", "2"
		systems[h.name+"-1"], systems[h.name+"-2"] = h.first, h.second
	}
	full := testhost.Fulls(t, n, options...)
	x := newNix(t)
	leavesNothing(t, x, full...)
	tops := flakeOf(t, x, systems)
	o := sshOptions(x, &recorder{}, n)
	o.Timeouts.Confirm, o.Timeouts.Reboot = 8*time.Second, 2*time.Minute
	update := func(version string, goal deploy.Goal, which func(i int) bool) []deploy.Result {
		var list []deploy.Machine
		for i, h := range hosts {
			if which(i) {
				list = append(list, machine(h.name, flake.NixOS, "ssh://"+h.name, tops[h.name+"-"+version]))
			}
		}
		o := o
		o.Goal = goal
		return newDeployer(t, o).Update(t.Context(), list).Results
	}
	done := func(results []deploy.Result) {
		for _, r := range results {
			if r.State != deploy.Done {
				t.Fatalf("%s before its restart: %+v", r.Machine, r)
			}
		}
	}
	done(update("1", deploy.Switch, func(int) bool { return true }))
	for i, h := range full {
		on(t, h, "sh", "-c", cmp.Or(hosts[i].prepare, asNixOS))
	}
	results := map[string]deploy.Result{}
	for _, goal := range []deploy.Goal{deploy.Boot, deploy.Switch} {
		done(update("2", goal, func(i int) bool { return hosts[i].earlier == goal }))
	}
	o.Reboot = true
	for _, goal := range []deploy.Goal{deploy.Boot, deploy.Switch} {
		for _, r := range update("2", goal, func(i int) bool { return hosts[i].goal == goal }) {
			results[r.Machine] = r
		}
	}
	for i, h := range hosts {
		t.Run(h.name, func(t *testing.T) {
			wantState(t, &deploy.Summary{Results: []deploy.Result{results[h.name]}}, h.name, h.state, h.texts...)
			if got := full[i].Boots(); got != h.boots {
				t.Errorf("it was booted %d times, want %d", got, h.boots)
			}
			want := "1"
			if h.stays {
				want = "2"
			}
			wantStanding(t, full[i], tops[h.name+"-"+want].OutPath, "system-"+want+"-link", want)
			wantOwnUnits(t, full[i])
			if t.Failed() {
				t.Log(on(t, full[i], "journalctl", "--no-pager", "--output=cat", "--unit=fleet-*"))
			}
		})
	}
}

// After a power cut in the window a machine that knows nothing of fleet is back at
// its system, and at rest, without any driver.
func TestSettledAtBoot(t *testing.T) {
	n := testhost.NewNetwork(t)
	h := testhost.Full(t, n, testhost.Options{Name: "alone"})
	x := newNix(t)
	leavesNothing(t, x, h)
	tops := flakeOf(t, x, map[string]system{"first": {version: "1", before: starts}, "second": {version: "2", before: starts}})
	wantState(t, newDeployer(t, sshOptions(x, &recorder{}, n)).Update(t.Context(), []deploy.Machine{machine("alone", flake.NixOS, "ssh://alone", tops["first"])}), "alone", deploy.Done)
	on(t, h, "sh", "-c", asNixOS)
	job := driverJob{
		SSHConfig: n.SSHConfig, Runs: t.TempDir(), Run: "20260102-alone", Machine: machine("alone", flake.NixOS, "ssh://alone", tops["second"]),
		Phase: deploy.Confirm, State: deploy.Started, Settings: deploy.Settings{Timeouts: deploy.Timeouts{Confirm: time.Minute}},
	}
	driver(t, x, job)()
	if got := on(t, h, "cat", "/etc/version"); got != "2" {
		t.Errorf("it is at version %s before the power cut, want 2", got)
	}
	h.Kill()
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	waitAtRest(t, h)
	wantStanding(t, h, tops["first"].OutPath, "system-1-link", "1")
	wantOwnUnits(t, h)
	if got := on(t, h, "sh", "-c", "tail -qn 1 /var/lib/fleet/*/result"); !strings.Contains(got, "rolled-back rebooted") {
		t.Errorf("its deploys ended with %q", got)
	}
}

// A machine whose Nix daemon hangs is tried again.
func TestStalledCopy(t *testing.T) {
	n := testhost.NewNetwork(t)
	h := testhost.Light(t, n, testhost.Options{Name: "stalls"})
	// Before the first deploy there is nothing where a system would be.
	put(t, h, "/run/current-system/sw/bin/nix-daemon", []byte(`#!/bin/sh
if [ "$1" = --stdio ]; then
  mv /run/current-system /run/stalled
  kill -STOP $$
fi
PATH=${PATH#*:}
exec nix-daemon "$@"
`), 0o755)
	x, events := newNix(t), &recorder{}
	leavesNothing(t, x, h)
	o := sshOptions(x, events, n)
	o.Timeouts.Stall = time.Second
	tops := flakeOf(t, x, map[string]system{"stalls": {version: "1"}})
	summary := newDeployer(t, o).Update(t.Context(), []deploy.Machine{machine("stalls", flake.NixOS, "ssh://stalls", tops["stalls"])})
	wantState(t, summary, "stalls", deploy.Done)
	if texts := eventTexts(events); !strings.Contains(texts, "trying again in 1s: ") || !strings.Contains(texts, "nothing moves any more (for 1s)") {
		t.Errorf("the events do not tell:\n%s", texts)
	}
}

// Sixty hosts go through a limit of ten, in the order of their waves.
func TestManyHosts(t *testing.T) {
	const count, limit = 60, 10
	n := testhost.NewNetwork(t)
	var options []testhost.Options
	for i := range count {
		options = append(options, testhost.Options{Name: hostName(i)})
	}
	hosts := testhost.Lights(t, n, options...)
	x := newNix(t)
	top := flakeOf(t, x, map[string]system{"all": {version: "1"}})["all"]
	var machines []deploy.Machine
	waves := map[string]int{}
	for i, h := range hosts {
		m := machine(h.Name, flake.NixOS, "ssh://"+h.Name, top)
		m.Wave = i / (count / 3)
		waves[h.Name] = m.Wave
		machines = append(machines, m)
	}
	busy, most := map[deploy.Phase]int{}, map[deploy.Phase]int{}
	ended := map[int]int{}
	events := &recorder{hook: func(e deploy.Event) {
		switch {
		case e.Phase == deploy.End:
			ended[waves[e.Machine]]++
		case e.State == deploy.Started:
			busy[e.Phase]++
			most[e.Phase] = max(most[e.Phase], busy[e.Phase])
			if wave := waves[e.Machine]; e.Phase == deploy.Activate && wave > 0 && ended[wave-1] != count/3 {
				t.Errorf("%s is activated when %d of the wave before are at their end", e.Machine, ended[wave-1])
			}
		case e.State == deploy.Done:
			busy[e.Phase]--
		}
	}}
	o := sshOptions(x, events, n)
	o.Limits = deploy.Limits{Reach: limit, Build: limit, Copy: limit, Activate: limit}
	at := time.Now()
	summary := newDeployer(t, o).Update(t.Context(), machines)
	t.Logf("%d hosts took %s: %s", count, time.Since(at).Round(time.Millisecond), summary.Text())
	if summary.Count(deploy.Done) != count {
		t.Errorf("%s: %v", summary.Text(), summary.Err())
	}
	for _, phase := range []deploy.Phase{deploy.Reach, deploy.Build, deploy.Copy, deploy.Activate} {
		// How many there are at once is also a matter of how fast this computer is.
		if most[phase] > limit || most[phase] < 2 {
			t.Errorf("%d machines at once in phase %s, with a limit of %d", most[phase], phase, limit)
		}
	}
}

func hostName(i int) string { return "host" + string(rune('a'+i/10)) + string(rune('0'+i%10)) }
