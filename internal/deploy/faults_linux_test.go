package deploy_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/ssh"
	"github.com/crs58/fleet/internal/testhost"
)

// fault is what goes wrong with one host while its second system is deployed.
type fault struct {
	name string
	// first and second are the host's systems; their versions are set.
	first, second system
	// at is called with every event of the host, when in a goroutine of its own
	// with the first line that the activation prints.
	at   func(t *testing.T, h *testhost.Host, e deploy.Event)
	when func(t *testing.T, h *testhost.Host)
	// state and texts are what is to be said; stays is for a second system that
	// stands after all.
	state deploy.State
	texts []string
	stays bool
}

const (
	linkUp   = "/bin/ip link set eth0 up"
	linkDown = "/bin/ip link set eth0 down"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// Whatever happens to a host while its new system is activated, it ends at one
// system as a whole, and that is what is said of it.
func TestFaults(t *testing.T) {
	faults := []fault{
		{name: "good", state: deploy.Done, stays: true},
		{
			// A network that the new configuration breaks is mended by the old one.
			name: "cuts-itself", first: system{before: linkUp}, second: system{before: linkDown},
			state: deploy.RolledBack, texts: []string{"not confirmed within 8s", "back on generation 1"},
		},
		{
			name: "link-cut", second: system{before: "echo begins", after: "sleep 1"},
			when: func(t *testing.T, h *testhost.Host) {
				must(t, h.LinkDown())
				wait(t, func() bool { return hostFile(h, "/run/done") })
				must(t, h.LinkUp())
			},
			state: deploy.Done, stays: true,
		},
		{
			name: "sshd-restarts", second: system{before: "/usr/bin/systemctl restart ssh.service"},
			state: deploy.Done, stays: true,
		},
		{
			name: "hangs", second: system{before: "echo stuck; echo 2 > /etc/version; sleep 600"},
			state: deploy.RolledBack, texts: []string{"took longer than 10s and was stopped: stuck", "back on generation 1"},
		},
		{
			name: "script-fails", second: system{after: "printf 'no paper' >&2; exit 2"},
			state: deploy.RolledBack, texts: []string{"the activation script failed (exit status 2): ", "no paper", "back on generation 1"},
		},
		{
			name: "refuses", second: system{before: "echo not today; exit 1"},
			state: deploy.Failed, texts: []string{"refused to be activated", "not today", "nothing was changed"},
		},
		{
			name: "unit-fails", second: system{after: "/usr/bin/systemd-run --quiet --unit=new /bin/false; sleep 1; exit 4"},
			state: deploy.RolledBack, texts: []string{"units failed: new.service", "back on generation 1"},
		},
		{
			name: "unit-failed-before", second: system{after: "exit 4"},
			state: deploy.Done, texts: []string{"failed still: old.service"}, stays: true,
		},
		{
			name: "supervisor-dies", second: system{before: "echo 2 > /etc/version; kill -9 $PPID; sleep 600"},
			state: deploy.RolledBack, texts: []string{"the activation was killed", "back on generation 1"},
		},
		{
			name: "power-cut", second: system{before: "echo begins; sleep 600"},
			when: func(t *testing.T, h *testhost.Host) {
				h.Kill()
				must(t, h.Start())
			},
			state: deploy.RolledBack, texts: []string{"restarted before its new system was confirmed", "back on generation 1"},
		},
		{
			name: "power-cut-later",
			at: func(t *testing.T, h *testhost.Host, e deploy.Event) {
				if e.Phase == deploy.Confirm && e.State == deploy.Started {
					h.Kill()
					must(t, h.Start())
				}
			},
			state: deploy.RolledBack, texts: []string{"restarted before its new system was confirmed", "back on generation 1"},
		},
		{
			name: "boot-loader-fails", second: system{boot: "echo no room on /boot >&2; exit 1;"},
			state: deploy.RolledBack, texts: []string{"could not be made the one that is booted: ", "no room on /boot", "back on generation 1"},
		},
		{
			// The disk that is full is that of the deploy's own folder.
			name: "disk-full", first: system{before: "rm -f /var/lib/fleet/filler"}, second: system{before: "cat /dev/zero > /var/lib/fleet/filler || true"},
			state: deploy.RolledBack, texts: []string{"/var/lib/fleet is full", "back on generation 1"},
		},
	}
	n := testhost.NewNetwork(t)
	var options []testhost.Options
	for _, f := range faults {
		options = append(options, testhost.Options{Name: f.name})
	}
	hosts := testhost.Fulls(t, n, options...)
	x := newNix(t)
	leavesNothing(t, x, hosts...)
	systems := map[string]system{}
	byName := map[string]int{}
	for i, f := range faults {
		byName[f.name] = i
		f.first.version, f.second.version = "1", "2"
		f.second.after = strings.TrimSuffix("touch /run/done; "+f.second.after, "; ")
		systems[f.name+"-1"], systems[f.name+"-2"] = f.first, f.second
	}
	on(t, hosts[byName["disk-full"]], "sh", "-c", "mkdir -p /var/lib/fleet && mount -t tmpfs -o size=1m fleet-test /var/lib/fleet")
	on(t, hosts[byName["unit-failed-before"]], "sh", "-c", "! systemd-run --quiet --wait --unit=old /bin/false")
	tops := flakeOf(t, x, systems)
	machines := func(version string) (list []deploy.Machine) {
		for _, f := range faults {
			list = append(list, machine(f.name, flake.NixOS, "ssh://"+f.name, tops[f.name+"-"+version]))
		}
		return list
	}
	o := sshOptions(x, &recorder{}, n)
	o.Timeouts = deploy.Timeouts{Confirm: 8 * time.Second, Activate: 10 * time.Second}
	// The driver's clock is a day behind those of the hosts.
	o.Now = func() time.Time { return time.Now().Add(-24 * time.Hour) }
	for _, r := range newDeployer(t, o).Update(t.Context(), machines("1")).Results {
		if r.State != deploy.Done {
			t.Fatalf("the first system of %s: %+v", r.Machine, r)
		}
	}
	for _, h := range hosts {
		on(t, h, "rm", "-f", "/run/done")
	}

	var aside sync.WaitGroup
	began := map[string]bool{}
	events := &recorder{}
	events.hook = func(e deploy.Event) {
		i, known := byName[e.Machine]
		if !known {
			return
		}
		if faults[i].at != nil {
			faults[i].at(t, hosts[i], e)
		}
		if e.Phase == deploy.Activate && e.Message == "begins" && faults[i].when != nil && !began[e.Machine] {
			began[e.Machine] = true
			aside.Go(func() { faults[i].when(t, hosts[i]) })
		}
	}
	o.OnEvent = events.on
	at := time.Now()
	summary := newDeployer(t, o).Update(t.Context(), machines("2"))
	aside.Wait()
	t.Logf("%d hosts took %s: %s", len(hosts), time.Since(at).Round(time.Millisecond), summary.Text())
	if summary.ExitCode() != 3 {
		t.Errorf("exit code %d, want 3", summary.ExitCode())
	}
	for i, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			wantState(t, summary, f.name, f.state, f.texts...)
			want := "1"
			if f.stays {
				want = "2"
			}
			wantStanding(t, hosts[i], tops[f.name+"-"+want].OutPath, "system-"+want+"-link", want)
			if t.Failed() {
				t.Log(on(t, hosts[i], "journalctl", "--no-pager", "--output=cat", "--unit=fleet-activate-*"))
			}
		})
	}
}

// A link that is slow and loses packets makes a deploy longer, and nothing else.
func TestPoorLink(t *testing.T) {
	const latency, loss = 300 * time.Millisecond, 0.05
	n := testhost.NewNetwork(t)
	hosts := testhost.Fulls(t, n, testhost.Options{Name: "good"}, testhost.Options{Name: "bad"})
	x := newNix(t)
	tops := flakeOf(t, x, map[string]system{
		"good-1": {version: "1"}, "good-2": {version: "2"},
		"bad-1": {version: "1"}, "bad-2": {version: "2", after: "/usr/bin/systemd-run --quiet --wait --unit=new /bin/false || exit 4"},
	})
	update := func(version string) *deploy.Summary {
		o := sshOptions(x, &recorder{}, n)
		o.Dial = func(ctx context.Context, _ string, host ssh.Target) (*ssh.Conn, error) {
			return ssh.Dial(ctx, ssh.Config{Target: host, Env: os.Environ(), File: n.SSHConfig, ConnectTimeout: 30 * time.Second})
		}
		return newDeployer(t, o).Update(t.Context(), []deploy.Machine{
			machine("good", flake.NixOS, "ssh://good", tops["good-"+version]),
			machine("bad", flake.NixOS, "ssh://bad", tops["bad-"+version]),
		})
	}
	first := update("1")
	wantState(t, first, "good", deploy.Done)
	wantState(t, first, "bad", deploy.Done)

	for _, h := range hosts {
		must(t, h.Latency(latency, loss))
	}
	summary := update("2")
	wantState(t, summary, "good", deploy.Done)
	wantState(t, summary, "bad", deploy.RolledBack, "units failed: new.service", "back on generation 1")
	wantStanding(t, hosts[0], tops["good-2"].OutPath, "system-2-link", "2")
	wantStanding(t, hosts[1], tops["bad-1"].OutPath, "system-1-link", "1")
}

func hostFile(h *testhost.Host, path string) bool {
	_, err := h.Stat(path)
	return err == nil
}

// wantSystem checks that a host is at one system in every respect.
func wantSystem(t *testing.T, h *testhost.Host, out, generation, version string) {
	t.Helper()
	wantPrinted(t, h, [][2]string{
		{"readlink /run/current-system", out},
		{"readlink /nix/var/nix/profiles/system", generation},
		{"cat /boot/default", out},
		{"cat /etc/version", version},
	})
}

// wantStanding checks that a host is at one system in every respect and that
// nothing of a deploy is left on it.
func wantStanding(t *testing.T, h *testhost.Host, out, generation, version string) {
	t.Helper()
	wantSystem(t, h, out, generation, version)
	wantPrinted(t, h, [][2]string{
		{"ls -A /run/fleet", ""},
		{"ls -A /nix/var/nix/gcroots/fleet", ""},
		{"cat /var/lib/fleet/current 2>&1 | grep -v 'No such file' || true", ""},
		{"ls -d /etc/systemd/system.control 2>/dev/null || true", ""},
		{"[ ! -d /run/systemd/system ] || systemctl list-units --all --plain --no-legend 'fleet-*'", ""},
		// The last look of a driver that was killed ends within a second.
		{"for _ in 1 2 3 4 5 6; do left=$(pgrep -fa '[/]var/lib/fleet') || break; sleep 0.5; done; echo \"$left\"", ""},
	})
}

// wantPrinted compares what shell commands print on a host.
func wantPrinted(t *testing.T, h *testhost.Host, checks [][2]string) {
	t.Helper()
	for _, check := range checks {
		if got := on(t, h, "sh", "-c", check[0]); got != check[1] {
			t.Errorf("%s: `%s` prints %q, want %q", h.Name, check[0], got, check[1])
		}
	}
}
