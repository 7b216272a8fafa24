package testhost_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/testhost"
)

// traces is all that can be seen on this machine of the network whose driver has
// the address driver and whose folder is folder.
func traces(driver, folder string) []string {
	id := strings.Split(driver, ".")[2]
	prefix := "fleet-" + id + "-"
	var found []string
	for _, pattern := range []string{
		"/run/netns/" + prefix + "*", "/sys/fs/cgroup/" + prefix + "*", "/sys/fs/cgroup/*/" + prefix + "*",
		"/run/systemd/nspawn/*/" + prefix + "*", "/run/fleet-testhost/" + id, folder,
	} {
		paths, _ := filepath.Glob(pattern)
		found = append(found, paths...)
	}
	links, _ := net.Interfaces()
	for _, l := range links {
		if l.Name == "ft"+id || strings.HasPrefix(l.Name, "ft"+id+"-") {
			found = append(found, "link "+l.Name)
		}
	}
	return append(found, lives(prefix, folder)...)
}

// lives are the processes of the network's hosts, and those of any process that
// still have a mount of theirs.
func lives(prefix, folder string) []string {
	var found []string
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range procs {
		cmdline, _ := os.ReadFile(p + "/cmdline")
		mounts, _ := os.ReadFile(p + "/mountinfo")
		if strings.Contains(string(cmdline), folder+"/") || strings.Contains(string(cmdline), "/netns/"+prefix) {
			found = append(found, p+" "+strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
		if strings.Contains(string(mounts), folder+"/") {
			found = append(found, p+" has mounts")
		}
	}
	return found
}

func TestCleanup(t *testing.T) {
	var driver, folder string
	t.Run("hosts", func(t *testing.T) {
		n := testhost.NewNetwork(t)
		driver, folder = n.Addr.String(), filepath.Dir(n.ClientKey)
		latency(t, testhost.Light(t, n, testhost.Options{Name: "light", DiskMB: 8}), time.Millisecond, 0)
		testhost.Full(t, n, testhost.Options{Name: "full", DiskMB: 8})
		if len(traces(driver, folder)) < 6 {
			t.Errorf("running hosts leave too few traces for this test to find: %q", traces(driver, folder))
		}
	})
	if left := traces(driver, folder); len(left) > 0 {
		t.Errorf("the hosts left:\n%s", strings.Join(left, "\n"))
	}
}

const victim = "TESTHOST_VICTIM"

// TestHostsOfBothKinds makes hosts and, in the process that TestReaper kills,
// says where and waits to be killed.
func TestHostsOfBothKinds(t *testing.T) {
	n := testhost.NewNetwork(t)
	lights := testhost.Lights(t, n, testhost.Options{Name: "light1", DiskMB: 8}, testhost.Options{Name: "light2"})
	latency(t, lights[1], time.Millisecond, 0)
	testhost.Full(t, n, testhost.Options{Name: "full"})
	if os.Getenv(victim) != "" {
		fmt.Println("\n"+victim, n.Addr, filepath.Dir(n.ClientKey))
		time.Sleep(time.Minute)
	}
}

func TestReaper(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHostsOfBothKinds$")
	cmd.Env = append(os.Environ(), victim+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var driver, folder string
	for lines := bufio.NewScanner(out); driver == "" && lines.Scan(); {
		_, _ = fmt.Sscanf(lines.Text(), victim+" %s %s", &driver, &folder)
	}
	killed := cmd.Process.Kill()
	_ = cmd.Wait()
	if driver == "" || killed != nil {
		t.Fatalf("the victim made no hosts, or would not die: %v", killed)
	}

	prefix := "fleet-" + strings.Split(driver, ".")[2] + "-"
	deadline := time.Now().Add(5 * time.Second)
	for alive := func() string { return strings.Join(commands(lives(prefix, folder)), "\n") }; alive() != ""; {
		if time.Now().After(deadline) {
			t.Fatalf("processes outlived their test:\n%s", alive())
		}
		time.Sleep(20 * time.Millisecond)
	}
	testhost.NewNetwork(t)
	if left := traces(driver, folder); len(left) > 0 {
		// The new network may have got the number again; then its bridge and
		// claim are there, but nothing of the old hosts.
		for _, l := range left {
			if !strings.HasPrefix(l, "link ft") && !strings.HasPrefix(l, "/run/fleet-testhost/") {
				t.Errorf("left after the next network was made: %s", l)
			}
		}
	}
}

// commands leaves out of lives the processes that only see a mount.
func commands(lives []string) []string {
	var found []string
	for _, l := range lives {
		if !strings.HasSuffix(l, " has mounts") {
			found = append(found, l)
		}
	}
	return found
}

func TestNetworksAreApart(t *testing.T) {
	a, b := testhost.NewNetwork(t), testhost.NewNetwork(t)
	if a.Addr == b.Addr {
		t.Errorf("two networks have the address %s", a.Addr)
	}
}

func TestNames(t *testing.T) {
	n := testhost.NewNetwork(t)
	testhost.Light(t, n, testhost.Options{Name: "cinnabar"})
	for _, name := range []string{"", "Upper", "a/b", "-a", "cinnabar"} {
		failed := make(chan bool)
		go func() { // Fatal ends the goroutine it is called in
			tb := &recorder{TB: t}
			defer func() { failed <- tb.fatal }()
			testhost.Light(tb, n, testhost.Options{Name: name})
		}()
		if !<-failed {
			t.Errorf("a host was made with the name %q", name)
		}
	}
}
