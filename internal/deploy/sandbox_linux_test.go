package deploy

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// insideComputer marks the process that runs a test in a computer of its own.
const insideComputer = "FLEET_TEST_INSIDE_COMPUTER"

// InComputer runs the test once more in a sandbox that stands for this computer,
// with folders of its own in the place of what a deploy changes, and tells
// whether this is that run.
func InComputer(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideComputer) != "" {
		return true
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := filepath.Abs("../../.cache/bin")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	folder := t.TempDir()
	args := []string{"--bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-pid", "--die-with-parent"}
	for from, to := range map[string]string{"etc": "/etc", "run": "/run", "lib": "/var/lib", "log": "/var/log", "boot": "/boot", "store": "/nix/store", "var": "/nix/var/nix"} {
		if err := os.MkdirAll(filepath.Join(folder, from), 0o755); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--bind", filepath.Join(folder, from), to)
	}
	for name, content := range map[string]string{"NIXOS": "", "passwd": "root:x:0:0::/root:/bin/sh\n", "group": "root:x:0:\n"} {
		if err := os.WriteFile(filepath.Join(folder, "etc", name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	args = append(args, "--setenv", insideComputer, "1", "--setenv", "PATH", bin+":/usr/bin:/bin", "--setenv", "NIX_CONF_DIR", filepath.Join(bin, "../../.ci/nix"),
		"--setenv", "TMPDIR", "/tmp", "--", program, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=100s")
	out, err := exec.CommandContext(ctx, "bwrap", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("in its sandbox: %v\n%s", err, out)
	}
	return false
}
