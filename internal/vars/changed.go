package vars

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/crs58/fleet/internal/repository"
)

// Date tells of every row that is present when its value was changed last: by
// its last commit, or by its file where that is not committed as it is, or where
// there is no git. It walks the history once for all rows, and not further than
// to the oldest. The error says why git could not tell; then the files do.
func (f *Fleet) Date(ctx context.Context, rows []Row) error {
	wanted := map[string]time.Time{}
	for _, row := range rows {
		if row.Present {
			wanted[row.place] = time.Time{}
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	failed := f.dateByGit(ctx, wanted)
	for i, row := range rows {
		if !row.Present {
			continue
		}
		changed := wanted[row.place]
		if changed.IsZero() {
			info, err := os.Stat(filepath.Join(f.Root, filepath.FromSlash(row.place)))
			if err != nil {
				return cmp.Or(failed, err)
			}
			changed = info.ModTime()
		}
		rows[i].Changed = changed.UTC().Truncate(time.Second)
	}
	return failed
}

// dateByGit fills in the last commits of files that are as they were committed.
func (f *Fleet) dateByGit(ctx context.Context, wanted map[string]time.Time) error {
	r, err := repository.Open(ctx, f.Root, f.Env)
	if err != nil || !r.Tracked() {
		return err
	}
	folders := append([]string{"--"}, foldersOf(wanted)...)
	type result struct {
		out string
		err error
	}
	differing := make(chan result, 1)
	go func() {
		out, err := r.Git(ctx, append([]string{"--literal-pathspecs", "diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--relative", "HEAD"}, folders...)...)
		differing <- result{out, err}
	}()
	walk, stop := context.WithCancel(ctx)
	defer stop()
	history := &historyReader{wanted: wanted, left: len(wanted), stop: stop}
	err = r.Stream(walk, history, append([]string{
		"--literal-pathspecs", "-c", "log.showSignature=false", "log", "--format=%x01%ct", "--name-only", "-z", "--no-renames", "--diff-filter=AM", "--relative",
	}, folders...)...)
	uncommitted := <-differing
	switch {
	case history.left == 0:
		err = nil // it was stopped
	case err != nil && strings.Contains(err.Error(), "does not have any commits yet"):
		return nil
	}
	for place := range strings.SplitSeq(uncommitted.out, "\x00") {
		if _, ok := wanted[place]; ok {
			wanted[place] = time.Time{}
		}
	}
	return errors.Join(err, uncommitted.err)
}

// foldersOf gives few folders that hold all of some files, because git looks at
// each of them in each commit.
func foldersOf(files map[string]time.Time) []string {
	const few = 32
	folders, tops := map[string]bool{}, map[string]bool{}
	for file := range files {
		folders[path.Dir(file)] = true
		top, _, _ := strings.Cut(file, "/")
		tops[top] = true
	}
	if len(folders) <= few {
		return sorted(folders)
	}
	return sorted(tops)
}

// historyReader takes what git log prints: for each commit, the newest first,
// \x01 and its time, and the files that it changed, with a NUL after each.
type historyReader struct {
	wanted map[string]time.Time
	left   int    // files of wanted that were not seen yet
	stop   func() // called when there are none
	at     time.Time
	rest   []byte
}

func (h *historyReader) Write(p []byte) (int, error) {
	h.rest = append(h.rest, p...)
	for {
		word, rest, whole := bytes.Cut(h.rest, []byte{0})
		if !whole {
			return len(p), nil
		}
		h.take(string(word))
		h.rest = rest
	}
}

func (h *historyReader) take(word string) {
	if text, ok := strings.CutPrefix(word, "\x01"); ok {
		if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
			h.at = time.Unix(seconds, 0)
		}
		return
	}
	file := strings.TrimPrefix(word, "\n") // the first of a commit has one
	if seen, ok := h.wanted[file]; ok && seen.IsZero() && !h.at.IsZero() {
		h.wanted[file] = h.at
		if h.left--; h.left == 0 {
			h.stop()
		}
	}
}
