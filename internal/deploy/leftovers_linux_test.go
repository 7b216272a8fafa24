package deploy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/testhost"
)

// leavesNothing has the test's end check, when its deployers are closed, that
// nothing of them is left: no process, unit or file on the hosts, no process and
// no temporary file here. It is called when the hosts are there, before the first
// deployer is made. What ends with a connection is waited for: the host learns
// of its end when the line is there again, if it was cut, and not before.
func leavesNothing(t *testing.T, x *counted, hosts ...*testhost.Host) {
	t.Helper()
	t.Cleanup(func() {
		vanishes(t, "here", x.leftovers)
		for _, h := range hosts {
			vanishes(t, h.Name, h.Leftovers)
		}
	})
}

// vanishes waits until nothing is left.
func vanishes(t *testing.T, where string, leftovers func() []string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for left := leftovers(); len(left) > 0; left = leftovers() {
		if time.Now().After(deadline) {
			t.Errorf("%s is left:\n%s", where, strings.Join(left, "\n"))
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// leftovers are what the deploys of a test have made and started here. All that
// they start has their TMPDIR; a builder, which has not, a derivation of the test.
func (c *counted) leftovers() (left []string) {
	left, _ = filepath.Glob(filepath.Join(c.tmp, "*"))
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		environ, _ := os.ReadFile(p + "/environ") // it may be gone, or a zombie
		if strings.Contains(string(environ), filepath.Dir(c.tmp)+"/") {
			args, _ := os.ReadFile(p + "/cmdline")
			left = append(left, p+" "+strings.ReplaceAll(string(args), "\x00", " "))
		}
	}
	return left
}
