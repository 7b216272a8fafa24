package testhost_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/testhost"
)

// TestNixCopy copies into a host's store over ssh from a store of its own.
func TestNixCopy(t *testing.T) {
	both(t, testhost.Options{Name: "scheelite"}, func(t *testing.T, n *testhost.Network, h *testhost.Host) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "note"), []byte("copied"), 0o600); err != nil {
			t.Fatal(err)
		}
		repo, err := filepath.Abs("../..")
		if err != nil {
			t.Fatal(err)
		}
		nix := func(args ...string) string {
			cmd := exec.CommandContext(t.Context(), filepath.Join(repo, ".cache/bin/nix"), args...)
			cmd.Env = append(os.Environ(), "HOME="+dir, "NIX_CONF_DIR="+filepath.Join(repo, ".ci/nix"), "NIX_SSHOPTS=-F "+n.SSHConfig)
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("nix %s: %v\n%s", strings.Join(args, " "), err, err.(*exec.ExitError).Stderr)
			}
			return strings.TrimSpace(string(out))
		}
		store := "local?root=" + dir
		path := nix("store", "add", "--store", store, filepath.Join(dir, "note"))
		nix("copy", "--no-check-sigs", "--from", store, "--to", "ssh-ng://"+h.Name, path)
		if got, err := h.ReadFile(path); err != nil || string(got) != "copied" {
			t.Errorf("%s on the host: %q, %v", path, got, err)
		}
	})
}
