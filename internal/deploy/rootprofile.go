package deploy

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// setProfile makes out the newest generation, or the current one again if it is
// that already. It does what nix-env --set does, with links alone: the folder's
// own Nix, if it has one, need not run here.
func (t *rootTarget) setProfile(out string) error {
	if _, err := t.root.Lstat(rel(out)); err != nil {
		return fmt.Errorf("set the system profile in %s: %s was not copied there: %w", t.path, out, err)
	}
	if err := t.root.MkdirAll(rel(profilesDir), 0o755); err != nil {
		return fmt.Errorf("make the profiles folder in %s: %w", t.path, err)
	}
	newest, err := t.newestGeneration()
	if err != nil {
		return err
	}
	link := generationLink(newest)
	if at, _ := t.root.Readlink(rel(path.Join(profilesDir, link))); at != out {
		link = generationLink(newest + 1)
		if err := t.root.Symlink(out, rel(path.Join(profilesDir, link))); err != nil {
			return fmt.Errorf("make generation %d in %s: %w", newest+1, t.path, err)
		}
	}
	return t.switchProfile(link)
}

// switchProfile leads the system profile to a generation.
func (t *rootTarget) switchProfile(link string) error {
	temporary := rel(profile) + ".new"
	_ = t.root.Remove(temporary) // left by a crash
	err := t.root.Symlink(link, temporary)
	if err == nil {
		err = t.root.Rename(temporary, rel(profile))
	}
	if err != nil {
		return fmt.Errorf("set the system profile in %s: %w", t.path, err)
	}
	return nil
}

func (t *rootTarget) newestGeneration() (int, error) {
	entries, err := fs.ReadDir(t.root.FS(), rel(profilesDir))
	if err != nil {
		return 0, fmt.Errorf("list the generations in %s: %w", t.path, err)
	}
	newest := 0
	for _, entry := range entries {
		newest = max(newest, generationNumber(entry.Name()))
	}
	return newest, nil
}

// generationLink is the name of the link to a generation, and generationNumber
// the number in it; 0 if it is none.
func generationLink(n int) string { return "system-" + strconv.Itoa(n) + "-link" }

func generationNumber(link string) int {
	text, ok := strings.CutPrefix(path.Base(link), "system-")
	if !ok {
		return 0
	}
	text, ok = strings.CutSuffix(text, "-link")
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}
