package testhost_test

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/testhost"
)

func TestFullHost(t *testing.T) {
	n := testhost.NewNetwork(t)
	began := time.Now()
	h := testhost.Full(t, n, testhost.Options{Name: "scheelite"})
	t.Logf("sshd of a full host answers after %s", time.Since(began))

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	state, _, _ := h.Exec(ctx, "systemctl", "is-system-running", "--wait")
	if strings.TrimSpace(state) != "running" {
		t.Errorf("the host is %s:\n%s", state, mustExec(t, h, "systemctl", "--failed"))
	}
	t.Logf("the host is %s after %s", strings.TrimSpace(state), time.Since(began))

	if got := mustSSH(t, n, "scheelite", "hostname"); got != "scheelite" {
		t.Errorf("the host is called %q", got)
	}
	if got := mustSSH(t, n, "scheelite", "nix", "--version"); !strings.Contains(got, "2.") {
		t.Errorf("the host's Nix is %q", got)
	}
	path := mustSSH(t, n, "scheelite", "nix-store", "--add", "/etc/hostname")
	if got, err := h.ReadFile(path); err != nil || string(got) != "scheelite\n" {
		t.Errorf("%s on the host: %q, %v", path, got, err)
	}
	// Dozens of hosts come up at once when all packages are tested.
	limit, err := os.ReadFile("/proc/sys/fs/inotify/max_user_instances")
	if n, _ := strconv.Atoi(strings.TrimSpace(string(limit))); err != nil || n < 1000 {
		t.Errorf("the machine allows %d inotify instances (%v), which is too few", n, err)
	}
	if route := mustExec(t, h, "ip", "route"); strings.Contains(route, "default") {
		t.Errorf("the host has a default route:\n%s", route)
	}
}

func TestFullHostUnits(t *testing.T) {
	n := testhost.NewNetwork(t)
	h := testhost.Full(t, n, testhost.Options{Name: "electrum"})

	mustSSH(t, n, h.Name, "systemd-run", "--unit=good", "--wait", "--property=Type=exec", "sh", "-c", "'echo all is well'")
	if log := mustExec(t, h, "journalctl", "--unit=good", "--output=cat", "--no-pager"); !strings.Contains(log, "all is well") {
		t.Errorf("the unit's journal says:\n%s", log)
	}
	for _, c := range []struct{ name, script, result, status string }{
		{"exits", "'exit 7'", "exit-code", "7"},
		{"dies", "'kill -KILL $$$$'", "signal", "9"},
		{"hangs", "'sleep 100'", "timeout", "15"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if out, err := ssh(t, n, h.Name, "systemd-run", "--unit="+c.name, "--wait", "--property=RuntimeMaxSec=1", "sh", "-c", c.script); err == nil {
				t.Fatalf("the failing unit succeeded:\n%s", out)
			}
			got := mustExec(t, h, "systemctl", "show", c.name+".service", "--property=Result,ExecMainStatus")
			if want := "Result=" + c.result; !strings.Contains(got, want) || !strings.Contains(got, "ExecMainStatus="+c.status) {
				t.Errorf("systemd says %q, want result %s with status %s", got, c.result, c.status)
			}
		})
	}

	for _, ahead := range []time.Duration{24 * time.Hour, -48 * time.Hour} {
		if err := h.SetClock(ahead); err != nil {
			t.Fatal(err)
		}
		for _, command := range [][]string{{"date", "+%s"}, {"systemd-run", "--quiet", "--wait", "--pipe", "date", "+%s"}} {
			seconds, err := strconv.ParseInt(mustSSH(t, n, h.Name, command...), 10, 64)
			if difference := time.Until(time.Unix(seconds, 0)); err != nil || (difference-ahead).Abs() > time.Hour {
				t.Errorf("%q is %s ahead (%v), want %s", command, difference, err, ahead)
			}
		}
	}
}
