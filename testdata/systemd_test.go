package testdata_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/testhost"
)

// TestNixOSOnAHost switches a machine with a real systemd through its systems:
// units start, change, fail and end, the host's own stay, a reboot comes up in
// the default system.
func TestNixOSOnAHost(t *testing.T) {
	built := build(t)
	n := testhost.NewNetwork(t)
	h := testhost.Full(t, n, testhost.Options{Name: "cinnabar"})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()

	push(ctx, t, n, h, built["first"], built["second"], built["unitFails"])

	run := func(want int, args ...string) string {
		t.Helper()
		out, errOut, code := h.Exec(ctx, args...)
		if code != want {
			t.Fatalf("%s: exit %d, want %d\n%s%s", strings.Join(args, " "), code, want, out, errOut)
		}
		return out + errOut
	}
	// active is the main process of a running unit, else nothing.
	active := func(unit string) string {
		t.Helper()
		if _, _, code := h.Exec(ctx, "systemctl", "is-active", "--quiet", unit); code != 0 {
			return ""
		}
		return strings.TrimSpace(run(0, "systemctl", "show", "--property=MainPID", "--value", unit))
	}
	says := func(text string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("nothing says %q:\n%s", want, text)
			}
		}
	}

	says(run(0, built["first"]+stc, "dry-activate"), "would start the following units: gone.service, web.service", "would activate")
	if active("web.service") != "" {
		t.Fatal("dry-activate started a unit")
	}
	says(run(0, built["first"]+stc, "switch"), "starting the following units: gone.service, web.service")
	web, gone := active("web.service"), active("gone.service")
	if web == "" || gone == "" {
		t.Fatalf("web and gone have the processes %q and %q", web, gone)
	}
	if out := run(0, "hostname"); out != "cinnabar\n" {
		t.Errorf("the host is called %q", out)
	}
	run(0, built["first"]+stc, "switch")
	if again := active("web.service"); again != web {
		t.Errorf("switching again restarted web: %s, then %s", web, again)
	}

	says(run(0, built["second"]+stc, "dry-activate"), "would stop the following units: gone.service, web.service", "would start the following units: web.service, new.service")
	run(0, built["second"]+stc, "switch")
	if now := active("web.service"); now == web || now == "" {
		t.Errorf("web was not restarted: %s, then %s", web, now)
	}
	if active("gone.service") != "" || active("new.service") == "" {
		t.Error("gone still runs, or new does not")
	}
	if _, err := h.Stat("/etc/systemd/system/gone.service"); err == nil {
		t.Error("the file of gone is still there")
	}

	says(run(4, built["unitFails"]+stc, "switch"), "warning: the following units failed: bad.service")
	if active("good.service") == "" {
		t.Error("good must run beside bad")
	}
	run(0, "systemctl", "is-active", "ssh.service")

	// The default is what boots, not what runs.
	run(0, built["second"]+stc, "test")
	run(0, built["first"]+stc, "boot")
	if active("new.service") == "" {
		t.Error("boot stopped a unit of the running system")
	}
	_, _, _ = h.Exec(ctx, "systemctl", "reboot")
	if err := h.WaitBoot(ctx, 2); err != nil {
		t.Fatal(err)
	}
	_, _, _ = h.Exec(ctx, "systemctl", "is-system-running", "--wait")
	for _, link := range []string{"/run/current-system", "/run/booted-system"} {
		if got := strings.TrimSpace(run(0, "readlink", link)); got != built["first"] {
			t.Errorf("after the reboot %s is %s, want %s", link, got, built["first"])
		}
	}
	if active("web.service") == "" || active("gone.service") == "" || active("new.service") != "" {
		t.Errorf("after the reboot web, gone and new have the processes %q, %q and %q", active("web.service"), active("gone.service"), active("new.service"))
	}
}

// TestNixOSOnALightHost switches a machine that has no service manager: what
// systemd would act on is there as files.
func TestNixOSOnALightHost(t *testing.T) {
	first := build(t)["first"]
	n := testhost.NewNetwork(t)
	h := testhost.Light(t, n, testhost.Options{Name: "electrum"})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	push(ctx, t, n, h, first)

	for range 2 {
		if out, errOut, code := h.Exec(ctx, first+stc, "switch"); code != 0 {
			t.Fatalf("exit %d\n%s%s", code, out, errOut)
		}
	}
	for command, want := range map[string]string{
		"hostname":                     "cinnabar",
		"cat /etc/hostname":            "cinnabar",
		"cat /etc/motd":                "ours",
		"id -un ann":                   "ann",
		"readlink /run/current-system": first,
		"cat /home/ann/host":           "cinnabar",
		"stat -c %a%u /etc/gone/copy":  "6000",
		"grep -c sleep /etc/systemd/system/web.service": "0",
	} {
		out, errOut, _ := h.Exec(ctx, strings.Fields(command)...)
		if strings.TrimSpace(out) != want {
			t.Errorf("%s: %q, want %q (%s)", command, out, want, errOut)
		}
	}
	if err := h.KillSSHD(); err != nil {
		t.Fatal(err)
	}
	if err := h.StartSSHD(); err != nil {
		t.Errorf("after a switch sshd does not start: %v", err)
	}
}

// push copies closures into a host's store.
func push(ctx context.Context, t *testing.T, n *testhost.Network, h *testhost.Host, paths ...string) {
	t.Helper()
	args := append([]string{"copy", "--no-check-sigs", "--to", "ssh-ng://" + h.Name}, paths...)
	cmd := exec.CommandContext(ctx, abs(t, "../.cache/bin/nix"), args...)
	cmd.Env = append(os.Environ(), "NIX_CONF_DIR="+abs(t, "../.ci/nix"), "NIX_SSHOPTS=-F "+n.SSHConfig)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nix copy: %v\n%s", err, out)
	}
}
