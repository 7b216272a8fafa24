package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crs58/fleet/internal/nix/nixtest"
)

// crashVar makes this test binary apply a transaction and be killed at a step.
const crashVar = "FLEET_REPOSITORY_TEST_CRASH" // STEP:ROOT

func applyAndCrash(root string, number int) {
	r, err := Open(context.Background(), root, os.Environ())
	if err != nil {
		panic(err)
	}
	count := 0
	t, err := r.Begin(context.Background(), time.Second, func(step string) error {
		if count++; count == number {
			fmt.Println(step)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	defer t.Close()
	if _, err := t.Apply(transactionFiles, "feat(vars): test"); err != nil {
		panic(err)
	}
}

var (
	transactionFiles = []File{
		{Path: "sops/old/one", Data: []byte("new one")},
		{Path: "sops/old/two", Data: []byte("new two")},
		{Path: "sops/fresh/deep/three", Data: []byte("new three")},
		{Path: "sops/fresh/*", Data: []byte("")},
		{Path: "sops/leaving/four", Gone: true},
	}
	oldState = map[string]string{"sops/old/one": "old one", "sops/old/two": "old two", "sops/leaving/four": "old four"}
	newState = map[string]string{"sops/old/one": "new one", "sops/old/two": "new two", "sops/fresh/deep/three": "new three", "sops/fresh/*": ""}
)

// tree is a work tree of git.
type tree struct {
	t    *testing.T
	root string
}

// oldRepo is a repository before the transaction.
func oldRepo(t *testing.T) tree {
	t.Helper()
	w := tree{t: t, root: t.TempDir()}
	w.git("init", "--quiet", "--initial-branch=main")
	w.git("config", "user.name", "Test")
	w.git("config", "user.email", "test@example.org")
	for name, text := range oldState {
		w.write(name, text)
	}
	w.git("add", "sops")
	w.git("commit", "--quiet", "--message=old")
	return w
}

func (w tree) write(name, text string) {
	w.t.Helper()
	nixtest.Write(w.t, w.root, map[string]string{name: text})
}

func (w tree) git(args ...string) string {
	w.t.Helper()
	return nixtest.Git(w.t, w.root, args...)
}

// recover has the next run find what the last has left.
func (w tree) recover() (string, error) {
	w.t.Helper()
	r, err := Open(w.t.Context(), w.root, os.Environ())
	if err != nil {
		return "", err
	}
	t, err := r.Begin(w.t.Context(), time.Second, nil)
	if err != nil {
		return "", err
	}
	defer t.Close()
	return t.Recovered, nil
}

// snapshot are the files in sops, by their paths.
func (w tree) snapshot() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(w.root), "sops", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(w.root, path))
		all[path] = string(data)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// Killed at each step, the next run ends in exactly the old or the new state.
func TestCrashAtEachStep(t *testing.T) {
	var finished, undone int
	for number := 1; ; number++ {
		w := oldRepo(t)
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d:%s", crashVar, number, w.root))
		out, err := cmd.Output()
		step := strings.TrimSpace(string(out))
		if err == nil {
			if step != "" {
				t.Fatalf("survived step %s", step)
			}
			break
		}
		var exit *exec.ExitError
		if !errors.As(err, &exit) || step == "" {
			t.Fatalf("step %d: %v\n%s", number, err, exit.Stderr)
		}

		said, err := w.recover()
		if err != nil {
			t.Fatalf("killed at %q: %v", step, err)
		}
		want := oldState
		if strings.HasPrefix(step, "switch") || step == "track" || step == "end" || step == "commit" {
			want = newState
			finished++
			if step != "commit" && !strings.Contains(said, "finished an interrupted run: 5 files") {
				t.Errorf("killed at %q: said %q", step, said)
			}
		} else {
			undone++
		}
		if diff := cmp.Diff(want, w.snapshot()); diff != "" {
			t.Errorf("killed at %q (-want +got):\n%s", step, diff)
		}
		status := w.git("status", "--porcelain", "--untracked-files=all")
		if step == "commit" && !strings.Contains(status, "??") {
			status = "" // all files are tracked
		}
		if status != "" {
			t.Errorf("killed at %q: git status:\n%s", step, status)
		}
		if _, err := os.Stat(filepath.Join(w.root, "sops/fresh")); (err == nil) != (len(want) == 4) {
			t.Errorf("killed at %q: folder sops/fresh: %v", step, err)
		}
		if _, err := os.Stat(filepath.Join(w.root, "sops/leaving")); (err != nil) != (len(want) == 4) {
			t.Errorf("killed at %q: folder sops/leaving: %v", step, err)
		}
		if _, err := os.Stat(filepath.Join(w.root, ".git/fleet/journal.json")); err == nil {
			t.Errorf("killed at %q: the journal is still there", step)
		}
	}
	if finished < 6 || undone < 8 {
		t.Errorf("finished %d and undid %d: the steps are not all there", finished, undone)
	}
}

// What fails without a crash is undone at once.
func TestTransactionFails(t *testing.T) {
	for _, at := range []string{"journal staging", "mkdir sops/fresh/deep", "stage sops/old/two", "journal switching"} {
		w := oldRepo(t)
		r, err := Open(t.Context(), w.root, os.Environ())
		if err != nil {
			t.Fatal(err)
		}
		full := errors.New("no space left on device")
		tr, err := r.Begin(t.Context(), time.Second, func(step string) error {
			if step == at {
				return full
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if placed, err := tr.Apply(transactionFiles, ""); placed || !errors.Is(err, full) {
			t.Errorf("%s: got %t, %v", at, placed, err)
		}
		tr.Close()
		if diff := cmp.Diff(oldState, w.snapshot()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", at, diff)
		}
	}
}

func TestDamagedJournal(t *testing.T) {
	w := oldRepo(t)
	w.write(".git/fleet/journal.json", `{"phase":"swit`)
	_, err := w.recover()
	if err == nil || !strings.Contains(err.Error(), "journal.json is damaged: look at `git status`, then remove it") {
		t.Errorf("got %v", err)
	}
}

// A journal cannot lead out of the repository.
func TestForeignJournal(t *testing.T) {
	w := oldRepo(t)
	outside := filepath.Join(t.TempDir(), "canary")
	if err := os.WriteFile(outside, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	rel, err := filepath.Rel(w.root, outside)
	if err != nil {
		t.Fatal(err)
	}
	w.write(".git/fleet/journal.json", fmt.Sprintf(`{"phase":"staging","files":[{"stage":%q,"final":"x"}]}`, rel))
	if _, err := w.recover(); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
}
