package ssh

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestWriteFileDiskFull(t *testing.T) {
	t.Parallel()
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	conn := newServer(t).dial(t) // after the mount, which its own mount namespace would not see
	if err := conn.WriteFile(t.Context(), small+"/file", 0o600, []byte("old")); err != nil {
		t.Fatal(err)
	}
	err := conn.WriteFile(t.Context(), small+"/file", 0o600, make([]byte, 1<<20))
	if err == nil || !strings.Contains(err.Error(), "No space left on device") {
		t.Errorf("got %v", err)
	}
	if got, err := os.ReadFile(small + "/file"); string(got) != "old" {
		t.Errorf("the old file: %d bytes, %v", len(got), err)
	}
	if entries, _ := os.ReadDir(small); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}
