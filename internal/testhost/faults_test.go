package testhost_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/testhost"
)

func reachable(h *testhost.Host) bool {
	conn, err := net.DialTimeout("tcp", h.Addr, 500*time.Millisecond)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func TestLink(t *testing.T) {
	n := testhost.NewNetwork(t)
	h := testhost.Light(t, n, testhost.Options{Name: "galena"})
	if err := h.LinkDown(); err != nil {
		t.Fatal(err)
	}
	if reachable(h) {
		t.Error("the host is reached without a cable")
	}
	mustExec(t, h, "true")
	if err := h.LinkUp(); err != nil {
		t.Fatal(err)
	}
	mustSSH(t, n, h.Name, "true")
}

func TestKillSSHD(t *testing.T) {
	both(t, testhost.Options{Name: "galena"}, func(t *testing.T, n *testhost.Network, h *testhost.Host) {
		mustSSH(t, n, h.Name, "setsid sleep 100 >/dev/null 2>&1 </dev/null &")
		session := make(chan error)
		go func() {
			_, err := ssh(t, n, h.Name, "sleep 100")
			session <- err
		}()
		time.Sleep(500 * time.Millisecond) // the session may stand or not yet: it ends either way
		if err := h.KillSSHD(); err != nil {
			t.Fatal(err)
		}
		if err := <-session; err == nil {
			t.Error("a session outlived sshd")
		}
		if reachable(h) {
			t.Error("sshd answers though it was killed")
		}
		mustExec(t, h, "pgrep", "sleep")
		if err := h.StartSSHD(); err != nil {
			t.Fatal(err)
		}
		mustSSH(t, n, h.Name, "true")
	})
}

func TestFillDisk(t *testing.T) {
	both(t, testhost.Options{Name: "galena", DiskMB: 32}, func(t *testing.T, n *testhost.Network, h *testhost.Host) {
		mustSSH(t, n, h.Name, "nix-store", "--add", "/etc/hosts") // makes the database
		if err := h.FillDisk("/nix"); err != nil {
			t.Fatal(err)
		}
		if out, err := ssh(t, n, h.Name, "nix-store", "--add", "/etc/passwd"); err == nil || !strings.Contains(out, "No space left on device") && !strings.Contains(out, "disk is full") {
			t.Errorf("nix-store on a full disk: %v\n%s", err, out)
		}
		if err := h.FreeDisk("/nix"); err != nil {
			t.Fatal(err)
		}
		mustSSH(t, n, h.Name, "nix-store", "--add", "/etc/passwd")
		if err := h.FillDisk("/root"); err == nil {
			t.Error("the driver's own disk was filled")
		}
	})
}
