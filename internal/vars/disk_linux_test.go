package vars

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// A disk that is full or read-only changes nothing, and says so.
func TestBadDisk(t *testing.T) {
	for _, tt := range []struct {
		name  string
		flags uintptr
		want  string
	}{
		{"full", 0, "no space left on device"},
		{"read-only", unix.MS_RDONLY, "read-only file system"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, one(gen("a", `echo 1 > $out/small; head -c 300000 /dev/urandom > $out/large`, "small", "large")))
			dir := filepath.Join(w.root, "sops/machines")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("none", dir, "tmpfs", tt.flags, "size=128k"); err != nil {
				t.Fatalf("this test mounts a small disk, which takes root: %v", err)
			}
			t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
			before := w.snapshot()
			_, err := w.run(Request{})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "nothing was changed") {
				t.Errorf("got %v", err)
			}
			if diff := cmp.Diff(before, w.snapshot()); diff != "" {
				t.Errorf("something changed:\n%s", diff)
			}
			if entries, _ := os.ReadDir(dir); len(entries) > 0 {
				t.Errorf("left behind: %v", entries)
			}
		})
	}
}
