package nix_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/crs58/fleet/internal/nix"
)

func TestDiskFull(t *testing.T) {
	c := newCLI(t, newFlake(t))
	built, err := c.Build(t.Context(), nix.BuildRequest{Installables: []string{".#big"}})
	if err != nil {
		t.Fatal(err)
	}
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=2m"); err != nil {
		t.Fatalf("a small disk: %v (the tests run as root)", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	err = c.Copy(t.Context(), nix.CopyRequest{To: "local?root=" + small, Paths: []string{built[0].Outputs["out"]}, NoCheckSigs: true})
	if !errors.Is(err, nix.ErrDiskFull) {
		t.Error(err)
	}
}
