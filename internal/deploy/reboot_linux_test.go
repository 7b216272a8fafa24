package deploy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/testhost"
)

// boots brings up, when a host boots, the system that its boot loader names.
const boots = `[Unit]
Before=ssh.service multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'ln -sfn "$(cat /boot/default)" /run/booted-system; exec "$(cat /boot/default)/bin/switch-to-configuration" test'
[Install]
WantedBy=multi-user.target
`

// A machine that is to be restarted into its system is confirmed afterwards, or
// restarts back.
func TestReboot(t *testing.T) {
	// A system's kernel is a link to what other systems may have too.
	kernel := func(file string) string { return "$b mkdir -p $out; $b ln -s " + file + " $out/kernel" }
	hosts := []struct {
		name          string
		first, second system
		goal          deploy.Goal
		state         deploy.State
		texts         []string
		boots         int
		stays         bool
	}{
		{name: "good", goal: deploy.Boot, state: deploy.Done, boots: 2, stays: true},
		{
			name: "loses-network", first: system{before: linkUp}, second: system{before: linkDown}, goal: deploy.Boot,
			state: deploy.RolledBack, texts: []string{"not confirmed within 8s", "back on generation 1"}, boots: 3,
		},
		{
			name: "unit-fails", second: system{after: "/usr/bin/systemd-run --quiet --unit=new /bin/false"}, goal: deploy.Boot,
			state: deploy.RolledBack, texts: []string{"units failed: new.service", "back on generation 1"}, boots: 3,
		},
		{name: "new-kernel", first: system{build: kernel("/etc/hostname")}, second: system{build: kernel("/etc/hosts")}, goal: deploy.Switch, state: deploy.Done, boots: 2, stays: true},
		{name: "same-kernel", first: system{build: kernel("/etc/hostname")}, second: system{build: kernel("/etc/hostname")}, goal: deploy.Switch, state: deploy.Done, boots: 1, stays: true},
		{name: "no-way-back", goal: deploy.Boot, state: deploy.Failed, texts: []string{"has no place for a unit that would go back"}, boots: 1},
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
	tops := flakeOf(t, x, systems)
	o := sshOptions(x, &recorder{}, n)
	o.Timeouts.Confirm = 8 * time.Second
	machines := func(version string, goal deploy.Goal) (list []deploy.Machine) {
		for _, h := range hosts {
			if goal == "" || h.goal == goal {
				list = append(list, machine(h.name, flake.NixOS, "ssh://"+h.name, tops[h.name+"-"+version]))
			}
		}
		return list
	}
	for _, r := range newDeployer(t, o).Update(t.Context(), machines("1", "")).Results {
		if r.State != deploy.Done {
			t.Fatalf("the first system of %s: %+v", r.Machine, r)
		}
	}
	for i, h := range full {
		if err := h.WriteFile("/etc/systemd/system/boots.service", []byte(boots), 0o644); err != nil {
			t.Fatal(err)
		}
		on(t, h, "sh", "-c", "systemctl --quiet enable boots.service; ln -sfn $(cat /boot/default) /run/booted-system")
		if hosts[i].name == "no-way-back" {
			on(t, h, "sh", "-c", `for place in $(systemctl show --property=UnitPath --value); do
				case $place in /run/*) continue ;; esac
				[ ! -d "$place" ] || { mount --bind "$place" "$place" && mount -o remount,bind,ro "$place"; }
			done`)
		}
	}

	o.Reboot = true
	results := map[string]deploy.Result{}
	for _, goal := range []deploy.Goal{deploy.Boot, deploy.Switch} {
		o.Goal = goal
		for _, r := range newDeployer(t, o).Update(t.Context(), machines("2", goal)).Results {
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
			if t.Failed() {
				t.Log(on(t, full[i], "journalctl", "--no-pager", "--output=cat", "--unit=fleet-*"))
			}
		})
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
  exec sleep 600
fi
PATH=${PATH#*:}
exec nix-daemon "$@"
`), 0o755)
	x, events := newNix(t), &recorder{}
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
