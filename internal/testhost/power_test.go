package testhost_test

import (
	"os"
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/testhost"
)

// both runs a test for a host of each kind.
func both(t *testing.T, o testhost.Options, test func(t *testing.T, n *testhost.Network, h *testhost.Host)) {
	for kind, boot := range map[string]func(testing.TB, *testhost.Network, testhost.Options) *testhost.Host{
		"light": testhost.Light, "full": testhost.Full,
	} {
		t.Run(kind, func(t *testing.T) {
			n := testhost.NewNetwork(t)
			test(t, n, boot(t, n, o))
		})
	}
}

func TestPowerCut(t *testing.T) {
	both(t, testhost.Options{Name: "cinnabar"}, func(t *testing.T, n *testhost.Network, h *testhost.Host) {
		for _, path := range []string{"/root/kept", "/nix/kept", "/run/lost"} {
			if err := h.WriteFile(path, []byte("here"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		h.Kill()
		if _, _, code := h.Exec(t.Context(), "true"); code != -1 {
			t.Errorf("a command ran with status %d on a host without power", code)
		}
		if err := h.WaitBoot(t.Context(), 2); err == nil || !strings.Contains(err.Error(), "the host is off") {
			t.Errorf("waiting for a host without power: %v", err)
		}
		if out, err := ssh(t, n, h.Name, "true"); err == nil {
			t.Errorf("sshd answers on a host without power: %s", out)
		}
		if got, err := h.ReadFile("/root/kept"); err != nil || string(got) != "here" {
			t.Errorf("the disk of a host that is off: %q, %v", got, err)
		}
		if err := h.Start(); err != nil {
			t.Fatal(err)
		}
		if got := mustSSH(t, n, h.Name, "cat /root/kept /nix/kept"); got != "herehere" {
			t.Errorf("after the power cut the disk has %q", got)
		}
		if _, err := h.Stat("/run/lost"); !os.IsNotExist(err) {
			t.Errorf("/run outlived the power cut: %v", err)
		}
		if h.Boots() != 2 {
			t.Errorf("the host has booted %d times, want 2", h.Boots())
		}
	})
}

func TestStop(t *testing.T) {
	both(t, testhost.Options{Name: "cinnabar"}, func(t *testing.T, n *testhost.Network, h *testhost.Host) {
		if err := h.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := h.Start(); err != nil {
			t.Fatal(err)
		}
		if err := h.Start(); err == nil {
			t.Error("a host that is on was started")
		}
		mustSSH(t, n, h.Name, "true")
	})
}

func TestReboot(t *testing.T) {
	both(t, testhost.Options{Name: "cinnabar"}, func(t *testing.T, n *testhost.Network, h *testhost.Host) {
		if err := h.WriteFile("/var/lib/kept", []byte("here"), 0o600); err != nil {
			t.Fatal(err)
		}
		command := "systemctl reboot"
		if _, err := h.Stat("/run/systemd/system"); err != nil {
			command = "busybox reboot -f"
		}
		_, _ = ssh(t, n, h.Name, command) // the connection ends with the host
		if err := h.WaitBoot(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		if got := mustSSH(t, n, h.Name, "cat /var/lib/kept"); got != "here" {
			t.Errorf("after the reboot the file has %q", got)
		}
		if command == "systemctl reboot" {
			if boots := mustExec(t, h, "journalctl", "--list-boots", "--no-pager"); strings.Count(boots, "\n") < 1 {
				t.Errorf("the journal knows one boot only:\n%s", boots)
			}
		}
	})
}
