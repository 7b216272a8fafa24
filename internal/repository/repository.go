// Package repository changes the files of a fleet's flake all at once.
//
// Its contract:
//
//   - A set of files is switched under a lock and with a journal: a crash leaves the
//     old or the new state, which the next run completes; see transaction.go.
//   - git is told of new files with their content, because a flake sees only what
//     git tracks, and commits exactly the files of a transaction.
//   - Nothing is read or written through a link that leads out of the folder.
//   - Without git, or outside a work tree, all of it works except for git's part.
package repository

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Repository is the folder of a flake, which may lie in a git work tree.
type Repository struct {
	root string
	// gitDir is empty where there is no work tree.
	gitDir string
	env    []string
}

// File is a file that is to be written, mode 0644, or that is to go. Path is
// relative to the repository and uses slashes.
type File struct {
	Path string
	Data []byte
	// Link makes it a symbolic link to there, relative to its folder, in place of Data.
	Link string
	// Gone says that the file is to be removed, with its folder if it was the
	// last in it.
	Gone bool
}

// Tracked tells whether the folder is in a git work tree.
func (r *Repository) Tracked() bool { return r.gitDir != "" }

// lockFile and journalFile lie where git does not look at them.
func (r *Repository) lockFile() string {
	if r.gitDir == "" {
		return filepath.Join(r.root, "fleet.lock")
	}
	return filepath.Join(r.gitDir, "fleet.lock")
}

func (r *Repository) journalFile() string {
	if r.gitDir == "" {
		return filepath.Join(r.root, ".fleet", "journal.json")
	}
	return filepath.Join(r.gitDir, "fleet", "journal.json")
}

// Interrupted tells whether a run was cut off here, which the next
// [Repository.Begin] completes.
func (r *Repository) Interrupted() bool {
	_, err := os.Stat(r.journalFile())
	return err == nil
}

// Staged tells whether a file is one that an interrupted run has left beside the
// place that it was for.
func Staged(name string) bool { return strings.HasSuffix(name, stageSuffix) }

// Begin takes the lock, for which it waits that long at most ([*BusyError]), and
// completes what an interrupted run has left. step is for tests: it is called
// before every single step, and its error stops the transaction there.
func (r *Repository) Begin(ctx context.Context, wait time.Duration, step func(string) error) (*Transaction, error) {
	unlock, err := lock(ctx, r.lockFile(), wait)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(r.root)
	if err != nil {
		unlock()
		return nil, err
	}
	// From here on an interruption must not stop half-way.
	ctx = context.WithoutCancel(ctx)
	t := &Transaction{
		root: root, journal: r.journalFile(), step: step,
		track:  func(j journal) error { return r.track(ctx, j) },
		commit: func(j journal) error { return r.commit(ctx, j) },
		release: func() {
			_ = root.Close()
			unlock()
		},
	}
	if t.Recovered, err = t.recover(); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// Close gives up the lock.
func (t *Transaction) Close() { t.release() }
