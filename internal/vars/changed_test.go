package vars

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// gitAt runs git in the world's folder at some time.
func (w *world) gitAt(at time.Time, args ...string) {
	w.t.Helper()
	date := fmt.Sprintf("%d +0200", at.Unix())
	cmd := exec.Command("git", append([]string{"-C", w.root, "-c", "user.name=a", "-c", "user.email=a@b"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_DATE="+date, "GIT_COMMITTER_DATE="+date, "GIT_CONFIG_GLOBAL=/dev/null")
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("git %v: %v: %s", args, err, out)
	}
}

// dates are when the values of a listing were changed, by name; as text.
func (w *world) dates() (map[string]string, error) {
	w.t.Helper()
	rows, err := w.fleet.List(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	err = w.fleet.Date(w.t.Context(), rows)
	dates := map[string]string{}
	for _, r := range rows {
		dates[r.Generator+"/"+r.File] = ""
		if !r.Changed.IsZero() {
			dates[r.Generator+"/"+r.File] = r.Changed.Format(time.RFC3339)
		}
	}
	return dates, err
}

func TestDate(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 3, n, 23, 30, 0, 0, time.UTC) }
	text := func(n int) string { return fmt.Sprintf("2026-03-%02dT23:30:00Z", n) }
	w := newWorld(t, one(gen("a", `echo > $out/f; echo > $out/p`, "f", "p:public"), gen("b", `echo > $out/f`, "f"), gen("c", `echo > $out/f`, "f")))
	w.generate(Request{Generators: []string{"a", "b"}})
	files := func(n int) {
		t.Helper()
		err := filepath.WalkDir(filepath.Join(w.root, "sops"), func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Chtimes(path, day(n), day(n))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, want map[string]string) {
		t.Helper()
		got, err := w.dates()
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", what, err, diff)
		}
	}
	files(1)
	want("nothing is committed", map[string]string{"a/f": text(1), "a/p": text(1), "b/f": text(1), "c/f": ""})

	w.gitAt(day(2), "add", ".")
	w.gitAt(day(2), "commit", "--quiet", "--message", "all")
	files(9)
	want("all is committed", map[string]string{"a/f": text(2), "a/p": text(2), "b/f": text(2), "c/f": ""})

	w.write("sops/machines/web/facts/a/p", "another\n")
	w.gitAt(day(3), "commit", "--quiet", "--all", "--message", "p")
	w.write("README", "not a value")
	w.gitAt(day(4), "add", ".")
	w.gitAt(day(4), "commit", "--quiet", "--message", "other")
	files(9)
	want("one has changed", map[string]string{"a/f": text(2), "a/p": text(3), "b/f": text(2), "c/f": ""})

	// On a branch, merged later.
	w.gitAt(day(5), "checkout", "--quiet", "-b", "side", "HEAD~1")
	w.write("sops/machines/web/facts/a/p", "on the side\n")
	w.gitAt(day(5), "commit", "--quiet", "--all", "--message", "side")
	w.gitAt(day(6), "checkout", "--quiet", "-")
	w.gitAt(day(6), "merge", "--quiet", "--no-ff", "--message", "merge", "side")
	w.write("sops/machines/web/secrets/c/f", "{}")
	w.write("sops/machines/web/facts/a/p", "not committed\n")
	files(8)
	if err := os.Chtimes(filepath.Join(w.root, "sops/machines/web/secrets/b/f"), day(9), day(9)); err != nil {
		t.Fatal(err)
	}
	want("a change and a new file that are not committed", map[string]string{"a/f": text(2), "a/p": text(8), "b/f": text(2), "c/f": text(8)})
	w.gitAt(day(7), "checkout", "--quiet", ".")
	files(8)
	want("merged", map[string]string{"a/f": text(2), "a/p": text(5), "b/f": text(2), "c/f": text(8)})

	// A flake in a folder of a repository.
	above := filepath.Join(t.TempDir(), "above")
	if err := os.CopyFS(filepath.Join(above, "fleet"), os.DirFS(w.root)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(above, "fleet/.git")); err != nil {
		t.Fatal(err)
	}
	root := w.root
	w.root, w.fleet.Root = above, filepath.Join(above, "fleet")
	w.gitAt(day(1), "init", "--quiet")
	w.gitAt(day(1), "add", ".")
	w.gitAt(day(10), "commit", "--quiet", "--message", "all")
	want("in a folder", map[string]string{"a/f": text(10), "a/p": text(10), "b/f": text(10), "c/f": text(10)})
	w.root, w.fleet.Root = root, root

	// Without git, and with a broken one: the files tell.
	if err := os.WriteFile(filepath.Join(w.root, ".git/HEAD"), []byte("ref: refs/heads/x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(w.root, ".git/refs/heads"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.root, ".git/refs/heads/x"), []byte(strings.Repeat("1", 40)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	files(8)
	all := map[string]string{"a/f": text(8), "a/p": text(8), "b/f": text(8), "c/f": text(8)}
	if got, err := w.dates(); err == nil || cmp.Diff(all, got) != "" {
		t.Errorf("broken: %v, %v", err, got)
	}
	if err := os.RemoveAll(filepath.Join(w.root, ".git")); err != nil {
		t.Fatal(err)
	}
	want("without git", all)
}

func FuzzHistoryReader(f *testing.F) {
	f.Add([]byte("\x011710786000\x00\nsops/a\x00sops/b\x00\x011710746000\x00\nsops/a\x00"), 3)
	f.Add([]byte("\x01x\x00sops/a\x00"), 1)
	f.Fuzz(func(t *testing.T, text []byte, size int) {
		read := func(size int) map[string]time.Time {
			h := historyReader{wanted: map[string]time.Time{"sops/a": {}, "sops/b": {}}, left: 2, stop: func() {}}
			for rest := text; len(rest) > 0; rest = rest[min(size, len(rest)):] {
				if _, err := h.Write(rest[:min(size, len(rest))]); err != nil {
					t.Fatal(err)
				}
			}
			return h.wanted
		}
		whole := read(len(text) + 1)
		if diff := cmp.Diff(whole, read(max(1, size%16))); diff != "" || len(whole) != 2 {
			t.Error(diff)
		}
	})
}
