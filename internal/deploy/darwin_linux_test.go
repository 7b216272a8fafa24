package deploy_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/ssh"
	"github.com/crs58/fleet/internal/testhost"
)

const (
	recoverDaemon = "/Library/LaunchDaemons/org.fleet.recover.plist"
	nixApp        = "/Applications/Nix Apps/Web.app"
)

// userPart is the builder's lines that give a nix-darwin system a part that its
// user activates: with a mark, one that only says that there is none any more.
func userPart(mark string) string {
	return `$b mkdir -p $out; $b printf '#!/bin/sh\n` + mark + `\necho "activate-user as $USER" >> /var/log/activations\n' > $out/activate-user; $b chmod +x $out/activate-user`
}

// job is the shell line of an activation that has launchctl tell of a job.
func job(pid, status, label string) string {
	return "echo '" + pid + " " + status + " " + label + "' >> /var/db/jobs\n"
}

// On a Mac the system is activated before the profile leads to it, all that the
// deploy has put in place for itself goes again, and whatever keeps the new system
// from being confirmed brings back the one of before. What only a Mac can show is
// not in this: see [testhost.Macs].
func TestDarwin(t *testing.T) {
	const password = "correct horse"
	units := func(label string) *flake.Health {
		return &flake.Health{Checks: map[string]*flake.HealthCheck{"jobs": {Units: []string{label}, Attempts: 1, Timeout: 20}}}
	}
	cut := func(t *testing.T, h *testhost.Host) {
		if err := h.KillSSHD(); err != nil {
			t.Error(err)
		}
		wait(t, func() bool { return !hostFile(h, "/var/lib/fleet/current") })
		if err := h.StartSSHD(); err != nil {
			t.Error(err)
		}
	}
	restart := func(t *testing.T, h *testhost.Host) {
		h.Kill()
		if err := h.Start(); err != nil {
			t.Error(err)
		}
	}
	// The power is cut when the new system is confirmed, before the profile leads to it.
	powerCut := func(t *testing.T, h *testhost.Host) {
		put(t, h, "/var/db/held", []byte("yes"), 0o644)
		go func() {
			wait(t, func() bool { return strings.Contains(on(t, h, "cat", "/var/log/activations"), "nix-env") })
			h.Kill()
			if err := errors.Join(h.WriteFile("/var/db/held", []byte("no"), 0o644), h.Start()); err != nil {
				t.Error(err)
			}
		}()
	}
	const (
		there   = "@2@/activate\nkey\n"
		back    = "@1@/activate\nkey\n"
		started = "launchd /bin/sh /var/lib/fleet/launch\n"
		commit  = "nix-env --profile /nix/var/nix/profiles/system --set @2@\n"
	)
	cases := []struct {
		name          string
		first, second system
		health        *flake.Health
		prepare       string                           // shell lines on the host between the two
		confirming    func(*testing.T, *testhost.Host) // when the new system is up
		window        time.Duration                    // for the confirmation
		state         deploy.State                     // of the second
		texts         []string                         // of its result
		log           string                           // what the second has run there
	}{
		{
			name: "good", health: units("org.nixos.web"), state: deploy.Done, log: there + commit,
			second: system{
				build: userPart("# nix-darwin: deprecated"),
				// What is allowed is no hindrance, nor are jobs that failed before, that a
				// restart or a stop has ended, or that are Apple's.
				before: "if false; then\n ensurePerms '_web' create\nfi # ensureAppManagement",
				after: job("412", "0", "org.nixos.web") + job("413", "-9", "org.example.restarted") + job("-", "-15", "org.example.stopped") +
					job("-", "78", "com.apple.quirk") + job("-", "0", "org.example.ended"),
			},
		},
		{
			name: "fails", second: system{after: "echo no paper; exit 1"}, state: deploy.RolledBack,
			texts: []string{"the activation failed (exit status 1): ", "no paper", "back on generation 1"}, log: there + back,
		},
		{
			name: "user", first: system{build: userPart("#")}, second: system{build: userPart("# nix-darwin: deprecated"), after: "exit 1"}, state: deploy.RolledBack,
			log: there + "activate-user as admin\n" + back,
		},
		{
			name: "jobs", second: system{after: job("-", "78", "org.nixos.web") + job("-", "-6", "org.nixos.crash")}, state: deploy.RolledBack,
			texts: []string{"units failed: org.nixos.crash, org.nixos.web; the machine is back on generation 1", "ssh admin@jobs launchctl print system/org.nixos.crash"}, log: there + back,
		},
		{
			name: "warn", second: system{after: job("-", "78", "org.nixos.web")}, health: &flake.Health{FailedUnits: "warn"}, state: deploy.Done,
			texts: []string{"units failed: org.nixos.web"}, log: there + commit,
		},
		{
			name: "unhealthy", second: system{after: job("-", "0", "org.nixos.web")}, health: units("org.nixos.web"), state: deploy.RolledBack,
			texts: []string{"the health check jobs failed after 1 try: org.nixos.web does not run"}, log: there + back,
		},
		{
			name: "apps", prepare: "mkdir -p '" + nixApp + "'; touch /var/db/protected", second: system{before: "# ensureAppManagement"}, state: deploy.Failed,
			texts: []string{"lets nobody who comes over SSH change " + nixApp + ": turn on", "Allow full disk access for remote users"},
		},
		{
			name: "users", prepare: "touch /var/db/protected", second: system{before: "if false; then\n  ensurePerms _web create\nfi"}, state: deploy.Failed,
			texts: []string{"lets nobody who comes over SSH create the user _web: turn on"},
		},
		{
			name: "expires", confirming: cut, window: 2 * time.Second, state: deploy.RolledBack,
			texts: []string{"not confirmed within 2s", "back on generation 1"}, log: there + back,
		},
		{
			name: "restarts", confirming: restart, state: deploy.RolledBack,
			texts: []string{"restarted before its new system was confirmed", "back on generation 1"}, log: there + started + back,
		},
		{name: "power", confirming: powerCut, state: deploy.Done, log: there + commit + started + commit + there},
	}
	n := testhost.NewNetwork(t)
	var options []testhost.Options
	systems := map[string]system{}
	for _, c := range cases {
		options = append(options, testhost.Options{Name: c.name, Users: []testhost.User{{Name: "admin", Password: password}}})
		c.first.version, c.first.class, c.second.version, c.second.class = "1", flake.Darwin, "2", flake.Darwin
		systems[c.name+"-1"], systems[c.name+"-2"] = c.first, c.second
	}
	hosts := testhost.Macs(t, n, options...)
	x := newNix(t)
	leavesNothing(t, x, hosts...)
	tops := flakeOf(t, x, systems)

	var asked atomic.Int64
	dialer := &ssh.Dialer{Ask: func(context.Context, string) (string, error) { asked.Add(1); return password, nil }}
	deployer := func(t *testing.T, r *recorder, window time.Duration) *deploy.Deployer {
		o := sshOptions(x, r, n)
		o.Timeouts.Confirm = window
		o.Dial = func(ctx context.Context, _ string, host ssh.Target) (*ssh.Conn, error) {
			conn, err := dialer.Dial(ctx, ssh.Config{Target: host, Env: append(os.Environ(), "TMPDIR="+x.tmp), File: n.SSHConfig, ConnectTimeout: 5 * time.Second})
			if err != nil {
				return nil, err
			}
			root, err := conn.AsRoot(ctx)
			if err != nil {
				return nil, errors.Join(err, conn.Close())
			}
			return root, nil
		}
		return newDeployer(t, o)
	}
	mac := func(name, version string) deploy.Machine {
		return machine(name, flake.Darwin, "ssh://admin@"+name, tops[name+"-"+version])
	}
	var machines []deploy.Machine
	for _, h := range hosts {
		machines = append(machines, mac(h.Name, "1"))
		put(t, h, "/var/db/jobs", []byte("88 0 org.example.ok\n- 1 org.example.old\n"), 0o644)
	}
	if summary := deployer(t, &recorder{}, 0).Update(t.Context(), machines); summary.Count(deploy.Done) != len(cases) {
		t.Fatalf("the first systems: %v", summary.Err())
	}
	if asked.Load() != 1 {
		t.Errorf("the password was asked for %d times", asked.Load())
	}
	if got := on(t, hosts[2], "cat", "/var/log/activations"); !strings.Contains(got, "activate-user as admin\n"+tops["user-1"].OutPath+"/activate") {
		t.Errorf("the user's part is not activated first:\n%s", got)
	}

	var all sync.WaitGroup
	for i, c := range cases {
		h := hosts[i]
		all.Go(func() {
			on(t, h, "sh", "-c", ": >/var/log/activations; "+c.prepare)
			events := &recorder{hook: func(e deploy.Event) {
				if e.Phase != deploy.Confirm || e.State != deploy.Started {
					return
				}
				// The profile is the old one still, and a restart would be taken care of.
				wantPrinted(t, h, [][2]string{
					{"readlink /nix/var/nix/profiles/system /run/current-system", "system-1-link\n" + tops[c.name+"-2"].OutPath},
					{"stat -c %a.%U " + recoverDaemon, "644.root"},
				})
				if c.confirming != nil {
					c.confirming(t, h)
				}
			}}
			m := mac(c.name, "2")
			m.Details.Health = c.health
			wantState(t, deployer(t, events, c.window).Update(t.Context(), []deploy.Machine{m}), c.name, c.state, c.texts...)
		})
	}
	all.Wait()
	for i, c := range cases {
		h := hosts[i]
		version := map[bool]string{true: "2", false: "1"}[c.state == deploy.Done]
		out := strings.NewReplacer("@1@", tops[c.name+"-1"].OutPath, "@2@", tops[c.name+"-2"].OutPath)
		awake, asUser := "", ""
		if c.log != "" {
			awake = "caffeinate -i -s -w"
		}
		if strings.Contains(c.log, "activate-user") {
			asUser = "sudo -H -u admin"
		}
		wantPrinted(t, h, [][2]string{
			{"sed 's/ *$//' /var/log/activations | grep -v caffeinate || true", strings.TrimSpace(out.Replace(c.log))},
			{"grep caffeinate /var/log/activations | head -n 1", awake},
			{"readlink /nix/var/nix/profiles/system /run/current-system", "system-" + version + "-link\n" + tops[c.name+"-"+version].OutPath},
			{"ls -A /Library/LaunchDaemons", ""},
			// Who tries GNU's stat first goes on with that of a Mac.
			{"grep -v '^stat -c$' /var/log/refused || true", ""},
			{"grep -v -e '^sudo -S -p  -H$' -e '^sudo -k ' /var/log/sudo | sort -u", asUser},
		})
	}
	if asked.Load() != 1 {
		t.Errorf("the password was asked for %d times", asked.Load())
	}
}

// What else is asked of a Mac and done there.
func TestDarwinOtherwise(t *testing.T) {
	n := testhost.NewNetwork(t)
	h := testhost.Macs(t, n, testhost.Options{Name: "mac"})[0]
	x := newNix(t)
	leavesNothing(t, x, h)
	tops := flakeOf(t, x, map[string]system{
		"mac-1": {version: "1", class: flake.Darwin}, "mac-2": {version: "2", class: flake.Darwin, build: "$b mkdir -p $out/Library/LaunchDaemons; echo > $out/Library/LaunchDaemons/org.nixos.web.plist"},
	})
	machines := func(version string) []deploy.Machine {
		m := machine("mac", flake.Darwin, "ssh://mac", tops["mac-"+version])
		m.Details.Generators = nil // it has no secrets, so that nothing but the deploy makes /var/lib
		return []deploy.Machine{m}
	}
	put(t, h, "/var/db/jobs", []byte("- 1 org.example.old\n"), 0o644)
	o := sshOptions(x, &recorder{}, n)
	wantState(t, newDeployer(t, o).Update(t.Context(), machines("1")), "mac", deploy.Done, "units that had failed before are failed still: org.example.old")

	events := &recorder{hook: func(e deploy.Event) {
		if e.Phase != deploy.Confirm || e.State != deploy.Started {
			return
		}
		// Its clock jumps by a day.
		put(t, h, "/var/db/ahead", []byte("86400"), 0o644)
		other := result(t, newDeployer(t, sshOptions(x, &recorder{}, n)).Update(t.Context(), machines("2")), "mac")
		if busy, ok := errors.AsType[*deploy.BusyError](other.Err); !ok || busy.Age > time.Hour {
			t.Errorf("another deploy is told %v", other.Err)
		}
	}}
	o.OnEvent = events.on
	d := newDeployer(t, o)
	wantState(t, d.Update(t.Context(), machines("2")), "mac", deploy.Done)
	status := d.Status(t.Context(), machines("2"))[0]
	if status.Verdict != deploy.UpToDate || status.Found.Generation != 2 || status.Found.Created.IsZero() || status.Found.Store.Total == 0 ||
		!slices.Equal(status.Found.FailedUnits, []string{"org.example.old"}) {
		t.Errorf("%+v", status)
	}
	on(t, h, "sh", "-c", ": >/var/log/activations")
	wantState(t, d.Rollback(t.Context(), d.PlanRollback(t.Context(), machines("2"), 0)), "mac", deploy.Done, "it is at generation 1")
	wantPrinted(t, h, [][2]string{
		{"sed 's/ *$//' /var/log/activations | grep -v caffeinate", tops["mac-1"].OutPath + "/activate\nnix-env --profile /nix/var/nix/profiles/system --switch-generation 1"},
		{"readlink /nix/var/nix/profiles/system", "system-1-link"},
		{"stat -c %a /var/lib /var/lib/fleet", "755\n700"},
		{"grep -v '^stat -c$' /var/log/refused || true", ""},
	})
	diff := d.Diff(t.Context(), machines("2"))[0]
	if diff.State != deploy.Done {
		t.Errorf("%+v", diff)
	}
	o.Goal = deploy.Boot
	wantState(t, newDeployer(t, o).Update(t.Context(), machines("2")), "mac", deploy.Failed, "nix-darwin has no boot")
}

// A Mac's system, which cannot be built here, is built and looked at on another Mac.
func TestDarwinDiffElsewhere(t *testing.T) {
	const platform, web = "aarch64-darwin", "Library/LaunchDaemons/org.nixos.web.plist"
	n := testhost.NewNetwork(t)
	hosts := testhost.Macs(t, n, testhost.Options{Name: "mac"}, testhost.Options{Name: "smith"})
	settings, err := hosts[1].ReadFile("/etc/nix/nix.conf")
	must(t, err)
	put(t, hosts[1], "/etc/nix/nix.conf", append(settings, "\nextra-platforms = "+platform+"\n"...), 0o644)
	on(t, hosts[1], "cp", "/opt/linux/bin/busybox", "/opt/mac/bin/busybox") // the builder of our systems
	x := newNix(t)
	leavesNothing(t, x, hosts...)
	jobs := func(version, text string) system {
		return system{version: version, class: flake.Darwin, platform: platform, build: "$b mkdir -p $out/Library/LaunchDaemons; echo '" + text + "' > $out/" + web}
	}
	tops := flakeOf(t, x, map[string]system{"mac-1": jobs("1", "one"), "mac-2": jobs("2", "two")})
	d := newDeployer(t, sshOptions(x, &recorder{}, n))
	mac := func(version, buildHost string) []deploy.Machine {
		m := machine("mac", flake.Darwin, "ssh://mac", tops["mac-"+version])
		m.BuildHost = buildHost
		return []deploy.Machine{m}
	}
	for at, text := range map[string]string{"": "here (" + platform + ")", "ssh://mac": "on ssh://mac (" + platform + ")"} {
		diff := d.Diff(t.Context(), mac("1", at))[0]
		if diff.State != deploy.Failed || !strings.Contains(diff.Message, "cannot be built "+text) || !strings.Contains(diff.Message, "--build-host") {
			t.Errorf("a diff that cannot be built: %+v", diff.Result)
		}
	}
	wantState(t, d.Update(t.Context(), mac("1", "ssh://smith")), "mac", deploy.Done)
	diff := d.Diff(t.Context(), mac("2", "ssh://smith"))[0]
	if diff.Err != nil || diff.From != tops["mac-1"].OutPath || diff.To != tops["mac-2"].OutPath || diff.Copy.Paths != 1 || diff.Copy.Bytes == 0 || diff.Copy.Bytes >= diff.After ||
		diff.Units == nil || !slices.Equal(diff.Units.Restart, []string{"org.nixos.web"}) || len(diff.Packages) != 1 {
		t.Errorf("%+v", diff)
	}
	if hostFile(hosts[0], diff.To) || !hostFile(hosts[1], diff.To) {
		t.Error("the system is not on the build host alone")
	}
	wantPrinted(t, hosts[1], [][2]string{{"grep -v '^stat -c$' /var/log/refused || true", ""}})
}
