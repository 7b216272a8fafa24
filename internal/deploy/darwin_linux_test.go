package deploy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/testhost"
)

// A Mac is stood for by a host without systemd and without setsid that calls
// itself Darwin: what is checked is which commands run there, in which order, and
// which files come and go. What only a Mac can show is not.
func TestDarwin(t *testing.T) {
	n := testhost.NewNetwork(t)
	hosts := testhost.Lights(t, n, testhost.Options{Name: "good"}, testhost.Options{Name: "bad"})
	const plist = "/Library/LaunchDaemons/org.fleet.recover.plist"
	for _, h := range hosts {
		on(t, h, "mkdir", "-p", "/Library/LaunchDaemons", "/usr/local/bin", "/tmp/fake")
		put(t, h, "/tmp/fake/uname", []byte("#!/bin/sh\necho Darwin\n"), 0o755)
		put(t, h, "/tmp/fake/caffeinate", []byte("#!/bin/sh\necho \"caffeinate $1 $2\" >> /var/log/activations\n"), 0o755)
		put(t, h, "/tmp/fake/date", []byte("#!/bin/sh\n[ \"$*\" = +%s ] || exec /bin/busybox date \"$@\"\necho $(($(/bin/busybox date +%s) + $(cat /tmp/jump)))\n"), 0o755)
		put(t, h, "/tmp/fake/sysctl", []byte("#!/bin/sh\n[ \"$*\" = '-n kern.boottime' ] || exit 1\necho \"{ sec = $(($(date +%s) - $(cut -d . -f 1 /proc/uptime))), usec = 4711 } Tue Nov 14 22:13:20 2023\"\n"), 0o755)
		put(t, h, "/tmp/jump", []byte("0"), 0o644)
		// /usr belongs to the driver's computer: what is to be hidden or added lies
		// over it.
		on(t, h, "sh", "-c", "mount --bind /tmp/fake/uname /usr/bin/uname; mkdir -p /tmp/none; for p in /usr/bin/setsid; do mount --bind /dev/null $p; done; ln -s /tmp/fake/caffeinate /run/caffeinate")
		on(t, h, "sh", "-c", `mount --bind /tmp/fake/date /usr/bin/date
			mkdir -p /nix/var/nix/profiles/default/bin; ln -s /tmp/fake/sysctl /nix/var/nix/profiles/default/bin
			! p=$(command -v sysctl) || mount --bind /tmp/fake/sysctl "$p"`)
	}
	x := newNix(t)
	tops := flakeOf(t, x, map[string]system{
		"good-1": {version: "1", class: flake.Darwin}, "good-2": {version: "2", class: flake.Darwin},
		"bad-1": {version: "1", class: flake.Darwin}, "bad-2": {version: "2", class: flake.Darwin, after: "echo no paper; exit 1"},
	})
	machines := func(version string) (list []deploy.Machine) {
		for _, h := range hosts {
			list = append(list, machine(h.Name, flake.Darwin, "ssh://"+h.Name, tops[h.Name+"-"+version]))
		}
		return list
	}
	o := sshOptions(x, &recorder{}, n)
	wantState(t, newDeployer(t, o).Update(t.Context(), machines("1")), "good", deploy.Done)
	for _, h := range hosts {
		on(t, h, "sh", "-c", ": > /var/log/activations")
	}
	events := &recorder{hook: func(e deploy.Event) {
		if e.Machine == "good" && e.Phase == deploy.Confirm && e.State == deploy.Started {
			h := hosts[0]
			// Before the confirmation the profile is the old one, and a restart would
			// be taken care of.
			if got := on(t, h, "readlink", "/nix/var/nix/profiles/system", "/run/current-system"); got != "system-1-link\n"+tops["good-2"].OutPath {
				t.Errorf("before the confirmation: %s", got)
			}
			text, err := h.ReadFile(plist)
			if err != nil || !strings.Contains(string(text), "<string>/bin/sh</string><string>/var/lib/fleet/launch</string>") {
				t.Errorf("the daemon for a restart: %v\n%s", err, text)
			}
			if got := on(t, h, "stat", "-c", "%a.%U", plist); got != "644.root" {
				t.Errorf("its file is %s", got)
			}
			// Its clock jumps by a day.
			put(t, h, "/tmp/jump", []byte("86400"), 0o644)
			other := result(t, newDeployer(t, sshOptions(x, &recorder{}, n)).Update(t.Context(), machines("2")[:1]), h.Name)
			if busy, ok := errors.AsType[*deploy.BusyError](other.Err); !ok || busy.Age > time.Hour {
				t.Errorf("another deploy is told %v", other.Err)
			}
		}
	}}
	o.OnEvent = events.on
	summary := newDeployer(t, o).Update(t.Context(), machines("2"))
	wantState(t, summary, "good", deploy.Done)
	wantState(t, summary, "bad", deploy.RolledBack, "the activation failed (exit status 1): ", "no paper", "back on generation 1")
	for i, want := range []struct{ version, log string }{
		{"2", "@good-2@/activate\nkey"},
		{"1", "@bad-2@/activate\nkey\n@bad-1@/activate\nkey"},
	} {
		h := hosts[i]
		for name, top := range tops {
			want.log = strings.ReplaceAll(want.log, "@"+name+"@", top.OutPath)
		}
		log := on(t, h, "sh", "-c", "sed 's/ *$//' /var/log/activations | grep -v caffeinate")
		if log != want.log {
			t.Errorf("%s ran\n%s\nwant\n%s", h.Name, log, want.log)
		}
		out := tops[fmt.Sprint(h.Name, "-", want.version)].OutPath
		if got := on(t, h, "readlink", "/nix/var/nix/profiles/system", "/run/current-system"); got != "system-"+want.version+"-link\n"+out {
			t.Errorf("%s is at %s", h.Name, got)
		}
		if got := on(t, h, "sh", "-c", "ls -A /Library/LaunchDaemons /run/fleet; sleep 1; pgrep -x sleep; pgrep -fa '[/]var/lib/fleet' || true"); got != "/Library/LaunchDaemons:\n\n/run/fleet:" {
			t.Errorf("%s keeps %q", h.Name, got)
		}
	}
	o.Goal = deploy.Boot
	wantState(t, newDeployer(t, o).Update(t.Context(), machines("1")[:1]), "good", deploy.Failed, "nix-darwin has no boot")
}
